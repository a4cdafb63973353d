/** Values as colours: zero in the middle of signed maps, and pixels that stay sharp. */

import type { Layout } from "./shapes";

export type Colours = Record<string, number[][]>;
export interface Scale {
  name: "heat" | "grey" | "signed";
  low: number;
  high: number;
}

/** The scale of values in a range: signed ones from minus to plus the largest magnitude. */
export function scaleOf(low: number, high: number): Scale {
  if (low < 0) {
    const most = Math.max(-low, high) || 1;
    return { name: "signed", low: -most, high: most };
  }
  return { name: "grey", low: 0, high: high || 1 };
}

export function colourOf(value: number, scale: Scale, colours: Colours): number[] {
  const entries = colours[scale.name];
  const t = (value - scale.low) / (scale.high - scale.low);
  return entries[Math.round(Math.min(1, Math.max(0, t)) * (entries.length - 1))];
}

export function rangeOf(values: ArrayLike<number>): [number, number] {
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < values.length; i++) {
    if (values[i] < low) low = values[i];
    if (values[i] > high) high = values[i];
  }
  return low <= high ? [low, high] : [0, 0];
}

/** Paint one channel, a pixel a value. */
export function paint(
  canvas: HTMLCanvasElement,
  values: Float32Array,
  layout: Layout,
  channel: number,
  scale: Scale,
  colours: Colours,
): void {
  canvas.width = layout.columns;
  canvas.height = layout.rows;
  const context = canvas.getContext("2d");
  if (!context) return;
  const image = context.createImageData(layout.columns, layout.rows);
  const entries = colours[scale.name];
  const factor = (entries.length - 1) / (scale.high - scale.low);
  const first = channel * layout.count;
  for (let i = 0; i < layout.count; i++) {
    const value = values[first + i];
    if (Number.isNaN(value)) continue;
    const t = Math.round((value - scale.low) * factor);
    const [r, g, b] = entries[Math.min(entries.length - 1, Math.max(0, t))];
    image.data[4 * i] = r;
    image.data[4 * i + 1] = g;
    image.data[4 * i + 2] = b;
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

/** Black or white, whichever is legible on a colour. */
export function inkOn([r, g, b]: number[]): string {
  return 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#000" : "#fff";
}
