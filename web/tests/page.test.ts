import { expect, test } from "vitest";
import type { NodeRecord } from "../src/api";
import { asCommand, asPython } from "../src/code";
import { colourOf, inkOn, rangeOf, scaleOf } from "../src/colours";
import { groupsOf } from "../src/Strip";
import { layoutOf, placeOf, writePlace } from "../src/shapes";
import { DEFAULTS, readState, writeState } from "../src/state";
import { rank, strongest } from "../src/tools/Randomise";

test("the address keeps the state, and damaged ones are the defaults", () => {
  const state = {
    ...DEFAULTS,
    layer: "conv&1",
    cell: 12,
    mode: "backwards" as const,
    start: "difference:7-1",
  };
  expect(readState(writeState(state))).toEqual(state);
  expect(writeState(DEFAULTS)).toBe("#");
  expect(readState("#cell=-3&channel=x&mode=sideways")).toEqual(DEFAULTS);
});

test("places in row order", () => {
  expect(placeOf(23, [2, 3, 4])).toEqual([1, 2, 3]);
  expect(writePlace(-1, [2])).toBe("padding");
  expect(layoutOf([3, 4, 5])).toEqual({ channels: 3, rows: 4, columns: 5, count: 20 });
  expect(layoutOf([10])).toEqual({ channels: 1, rows: 1, columns: 10, count: 10 });
  expect(layoutOf([1000]).rows).toBe(32);
});

test("signed maps have zero in the middle", () => {
  const scale = scaleOf(-1, 3);
  expect(scale).toEqual({ name: "signed", low: -3, high: 3 });
  const colours = {
    signed: [
      [0, 0, 255],
      [255, 255, 255],
      [255, 0, 0],
    ],
    grey: [],
    heat: [],
  };
  expect(colourOf(0, scale, colours)).toEqual([255, 255, 255]);
  expect(colourOf(9, scale, colours)).toEqual([255, 0, 0]);
  expect(inkOn([255, 255, 255])).toBe("#000");
  expect(rangeOf([])).toEqual([0, 0]);
});

test("nodes of one block stand together", () => {
  const node = (name: string, group: string) => ({ name, group }) as NodeRecord;
  const groups = groupsOf([node("a", ""), node("b.0", "b"), node("b", "b"), node("c", "")]);
  expect(groups.map((g) => g.nodes.length)).toEqual([1, 2, 1]);
});

test("lines of Python and commands", () => {
  const shown = { net: "digits", image: "seven.png" };
  const state = { ...DEFAULTS, layer: "conv_layers.0", start: "score:7" };
  expect(asPython(state, shown, [32, 28, 28], [1, 2, 3])).toContain('upto="conv_layers.0"');
  expect(asPython({ ...state, mode: "backwards" }, shown, [1], [])).toContain(
    "net.input_gradient(x, 7, rule)",
  );
  expect(asCommand({ ...state, tool: "saliency" }, shown, "#")).toBe(
    "minicnn saliency seven.png --net digits --target 7",
  );
});

test("rank correlation, and the largest channel", () => {
  expect(rank(new Float32Array([1, 2, 3]), new Float32Array([-10, 20, -30]))).toBeCloseTo(1);
  expect(rank(new Float32Array([1, 2, 3]), new Float32Array([3, 2, 1]))).toBeCloseTo(-1);
  expect([...strongest(new Float32Array([1, -5, 2, 3]), 2)]).toEqual([2, 5]);
});
