/** How values of any shape lie on a map: channels of rows and columns, and the way back to their place. */

export interface Layout {
  channels: number;
  rows: number;
  columns: number;
  /** values of a channel: less than rows times columns where a list is folded into lines */
  count: number;
}

const LINE = 32;

export function layoutOf(shape: number[]): Layout {
  if (shape.length === 3) {
    return { channels: shape[0], rows: shape[1], columns: shape[2], count: shape[1] * shape[2] };
  }
  if (shape.length === 2) {
    return { channels: 1, rows: shape[0], columns: shape[1], count: shape[0] * shape[1] };
  }
  const size = shape.reduce((a, b) => a * b, 1);
  const columns = Math.min(size, size > LINE * LINE ? Math.ceil(Math.sqrt(size)) : LINE);
  return { channels: 1, rows: Math.ceil(size / columns), columns, count: size };
}

/** The place (channel, row, column) or (unit) of a value counted in row order. */
export function placeOf(cell: number, shape: number[]): number[] {
  const place: number[] = [];
  let rest = cell;
  for (const n of [...shape].reverse()) {
    place.unshift(rest % n);
    rest = Math.floor(rest / n);
  }
  return place;
}

export function writePlace(cell: number, shape: number[]): string {
  return cell < 0 ? "padding" : `[${placeOf(cell, shape).join(", ")}]`;
}
