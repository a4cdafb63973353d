/** Answers that components wait for: the latest question's alone, the others are broken off. */

import { useEffect, useState } from "preact/hooks";

export interface Answer<T> {
  value: T | null;
  refusal: string;
  isWaiting: boolean;
}

export function useAnswer<T>(ask: ((signal: AbortSignal) => Promise<T>) | null, keys: unknown[]): Answer<T> {
  const [answer, setAnswer] = useState<Answer<T>>({ value: null, refusal: "", isWaiting: ask !== null });
  useEffect(() => {
    if (!ask) {
      setAnswer({ value: null, refusal: "", isWaiting: false });
      return;
    }
    const aborted = new AbortController();
    setAnswer((last) => ({ ...last, refusal: "", isWaiting: true }));
    ask(aborted.signal).then(
      (value) => !aborted.signal.aborted && setAnswer({ value, refusal: "", isWaiting: false }),
      (error: Error) => {
        if (!aborted.signal.aborted) setAnswer({ value: null, refusal: error.message, isWaiting: false });
      },
    );
    return () => aborted.abort();
  }, keys);
  return answer;
}
