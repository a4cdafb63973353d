import { describe, expect, test } from "vitest";
import { decode, exact, parse, percent, short } from "../src/numbers";

describe("numbers", () => {
  test("an exact text reads back as the same float32, and is as short as can be", () => {
    for (const value of [0.1, 1 / 3, -2.5, 3.4e38, 1.4e-45, 16777216, -0.00012345]) {
      const single = Math.fround(value);
      expect(Math.fround(parse(exact(single)))).toBe(single);
    }
    expect(exact(Math.fround(0.1))).toBe("0.1");
    expect(exact(Math.fround(-2.5))).toBe("−2.5");
  });
  test("random float32 numbers read back", () => {
    const bits = new Uint32Array(1);
    const single = new Float32Array(bits.buffer);
    let state = 1;
    for (let i = 0; i < 2000; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      bits[0] = state;
      if (Number.isFinite(single[0])) expect(Math.fround(parse(exact(single[0])))).toBe(single[0]);
    }
  });
  test("what is no float32 keeps all of its digits", () => {
    expect(parse(exact(0.1))).toBe(0.1);
  });
  test("missing numbers and short ones", () => {
    expect(exact(null)).toBe("none");
    expect(short(1234.5678)).toBe("1235");
    expect(percent(0.00001)).toBe("< 0.1 %");
    expect(percent(1)).toBe("100.0 %");
  });
  test("bytes in base64", () => {
    expect([...decode(btoa(String.fromCharCode(0, 0, 128, 63, 0, 0, 0, 192)))]).toEqual([1, -2]);
  });
});
