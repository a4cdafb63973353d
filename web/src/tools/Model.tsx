/** The class model that grows with its score. */

import { useEffect, useRef, useState } from "preact/hooks";
import { follow } from "../api";
import { percent, short } from "../numbers";
import { endsOf, Plot, pathOf } from "../Plot";
import type { ToolProps } from "./Tools";

interface Step {
  step: number;
  of: number;
  scores: number[];
  probability: number;
  picture: string;
  shown: [number, number] | null;
}

export function Model({ target, className }: ToolProps) {
  const [step, setStep] = useState<Step | null>(null);
  const [refusal, setRefusal] = useState("");
  const [isRunning, setRunning] = useState(false);
  const end = useRef<() => void>(() => {});
  const begin = () => {
    end.current();
    setStep(null);
    setRefusal("");
    setRunning(true);
    end.current = follow<Step>("/model", { target }, setStep, (told) => {
      setRefusal(told);
      setRunning(false);
    });
  };
  const stop = () => {
    end.current();
    setRunning(false);
  };
  useEffect(() => {
    stop();
    setStep(null);
    return stop;
  }, [target]);
  return (
    <div>
      <p>
        Gradient ascent on the score of {className} minus λ‖I‖², from the zero image, with the weights fixed:
        the paper's equation 1.
      </p>
      <p class="buttons">
        <button type="button" onClick={begin} disabled={isRunning}>
          {step ? "Again" : "Grow"}
        </button>
        <button type="button" onClick={stop} disabled={!isRunning}>
          Stop
        </button>
      </p>
      {refusal && <p class="bad">{refusal}</p>}
      {step && (
        <figure class="live">
          <img
            class="channel"
            src={step.picture}
            alt={`class model of ${className} after ${step.step} steps`}
          />
          <Curve scores={step.scores} of={step.of} />
          <figcaption>
            step {step.step} of {step.of}; score {short(step.scores[step.scores.length - 1], 5)}, probability{" "}
            {percent(step.probability)}
            {step.shown && (
              <>
                ; black is pixel value {short(step.shown[0], 3)}, white {short(step.shown[1], 3)}
              </>
            )}
          </figcaption>
        </figure>
      )}
    </div>
  );
}

function Curve({ scores, of }: { scores: number[]; of: number }) {
  return (
    <Plot
      width={320}
      height={140}
      across={[0, of]}
      up={endsOf(scores)}
      title="score after each step"
      below="step"
      beside="score"
    >
      {(x, y) => <path d={pathOf(scores.map((s, k) => [x(k), y(s)]))} class="line" />}
    </Plot>
  );
}
