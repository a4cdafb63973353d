/** What the page shows, as its address says. */

export const RULES = ["gradient", "deconvnet", "guided"] as const;
export type Rule = (typeof RULES)[number];

export interface State {
  /** an example's name, or "given" for the picture that the program was started with, or a picture's own name */
  image: string;
  layer: string;
  channel: number;
  cell: number;
  mode: "forwards" | "backwards";
  start: string;
  drawn: string;
  tool: string;
  target: number;
}

export const DEFAULTS: State = {
  image: "",
  layer: "",
  channel: -1,
  cell: -1,
  mode: "forwards",
  start: "",
  drawn: "",
  tool: "",
  target: -1,
};

export function readState(hash: string): State {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const state: State = { ...DEFAULTS };
  for (const key of ["image", "layer", "start", "drawn", "tool"] as const) {
    state[key] = given.get(key) ?? "";
  }
  for (const key of ["channel", "cell", "target"] as const) {
    const number = Number(given.get(key) ?? "-1");
    state[key] = Number.isInteger(number) && number >= 0 ? number : -1;
  }
  state.mode = given.get("mode") === "backwards" ? "backwards" : "forwards";
  return state;
}

export function writeState(state: State): string {
  const kept = new URLSearchParams();
  for (const [key, value] of Object.entries(state)) {
    if (value !== DEFAULTS[key as keyof State]) kept.set(key, String(value));
  }
  return `#${kept.toString()}`;
}
