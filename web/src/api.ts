/** What the page asks of the program; in an exported page the answers stand in the page itself. */

import { decode } from "./numbers";

export interface NodeRecord {
  name: string;
  kind: string;
  about: string;
  inputs: string[];
  group: string;
  shape: number[];
  parameters: Record<string, number[]>;
}

export interface Net {
  name: string;
  device: string;
  input_shape: number[];
  labels: string[] | null;
  nodes: NodeRecord[];
  colours: Record<string, number[][]>;
  examples: string[];
  given: string | null;
  /** faults that it can have, and what they are in words */
  faults: Record<string, string>;
  /** another network's name, to compare with */
  second: string | null;
}

export interface Prediction {
  target: number;
  label: string | null;
  score: number;
  probability: number;
}

export interface PassRecord {
  picture: string | null;
  size: [number, number];
  box: [number, number, number, number];
  predictions: Prediction[];
  start: string;
  ranges: Record<string, [number, number]>;
  strongest: Record<string, number[]>;
}

export interface Terms {
  source: number[];
  index: number[];
  x: number[];
  factor: number[];
  product: number[];
}

export interface Forwards {
  layer: string;
  cell: number;
  place: number[];
  value: number;
  field: [number, number, number, number] | null;
  form: "input" | "sum" | "maximum" | "normalisation" | "function";
  words: string;
  bias?: number | null;
  facts?: Record<string, number>;
  grid?: [number, number, number] | null;
  sources?: string[];
  terms?: Terms;
  sum?: number;
  error?: number;
}

export type ByRule<T> = Record<string, T>;

export interface Arriving {
  layer: string;
  kind: string;
  words: string;
  whole: boolean;
  index: number[];
  factor: number[];
  dy: ByRule<number[]>;
  product: ByRule<number[]>;
}

export interface Backwards {
  layer: string;
  cell: number;
  place: number[];
  dy: ByRule<number>;
  refusals: ByRule<string>;
  arrives: Arriving[];
  sum: ByRule<number>;
  sends?: {
    kind: string;
    words: string;
    sources: string[];
    source: number[];
    index: number[];
    x: number[];
    factor: number[];
    product: ByRule<number[]>;
    whole: ByRule<(number | null)[]>;
  };
}

declare global {
  interface Window {
    EXPORTED?: Record<string, unknown>;
  }
}

const BASE = "/explore/api";
export const isExported = (): boolean => window.EXPORTED !== undefined;

function address(path: string, query: Record<string, string | number>): string {
  const given = Object.entries(query).filter(([, value]) => value !== "");
  const words = new URLSearchParams(given.map(([key, value]) => [key, String(value)])).toString();
  return words ? `${path}?${words}` : path;
}

function stored(path: string): unknown {
  const answer = window.EXPORTED?.[path];
  if (answer === undefined) {
    throw new Error("This page holds one exported view alone; the program shows the rest: minicnn explore");
  }
  return answer;
}

async function ask(path: string, options: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(BASE + path, options);
  } catch (error) {
    if ((error as Error).name === "AbortError") throw error;
    throw new Error("The program does not answer; is minicnn explore still running?");
  }
  if (!response.ok) {
    const told = (await response.json().catch(() => ({}))) as { error?: string };
    throw new Error(told.error ?? `The program answered ${response.status}`);
  }
  return response;
}

export async function getJson<T>(
  path: string,
  query: Record<string, string | number> = {},
  signal?: AbortSignal,
): Promise<T> {
  const where = address(path, query);
  if (isExported()) return stored(where) as T;
  return (await ask(where, { signal })).json() as Promise<T>;
}

export async function getMap(
  path: string,
  query: Record<string, string | number>,
  signal?: AbortSignal,
): Promise<Float32Array> {
  const where = address(path, query);
  if (isExported()) return decode(stored(where) as string);
  return new Float32Array(await (await ask(where, { signal })).arrayBuffer());
}

export async function sendPicture(picture: Blob): Promise<string> {
  const kind = picture.type.startsWith("image/") ? picture.type : "application/octet-stream";
  const options = { method: "POST", body: picture, headers: { "Content-Type": kind } };
  return ((await (await ask("/picture", options)).json()) as { id: string }).id;
}

export async function chooseExample(name: string): Promise<string> {
  const path = address("/picture", { example: name });
  if (isExported()) return (stored(path) as { id: string }).id;
  return ((await (await ask(path, { method: "POST" })).json()) as { id: string }).id;
}

export async function postJson<T>(
  path: string,
  query: Record<string, string | number>,
  body: unknown,
  signal?: AbortSignal,
): Promise<T> {
  const where = address(path, query);
  if (isExported()) return stored(where) as T;
  return (await ask(where, { method: "POST", body: JSON.stringify(body), signal })).json() as Promise<T>;
}

/** Follow what grows step by step; the function that is returned ends it. */
export function follow<T>(
  path: string,
  query: Record<string, string | number>,
  onStep: (step: T) => void,
  onEnd: (refusal: string) => void,
): () => void {
  if (isExported()) {
    onEnd("This page holds one exported view alone; the program shows the rest: minicnn explore");
    return () => {};
  }
  const source = new EventSource(BASE + address(path, query));
  source.onmessage = (event) => onStep(JSON.parse(event.data) as T);
  source.addEventListener("done", () => {
    source.close();
    onEnd("");
  });
  source.addEventListener("refused", (event) => {
    source.close();
    onEnd((JSON.parse((event as MessageEvent).data) as { error: string }).error);
  });
  source.onerror = () => {
    source.close();
    onEnd("The program does not answer, or refused; is minicnn explore still running?");
  };
  return () => source.close();
}
