/** A plot of curves: two axes, their ends in numbers, and what they are of. */

import type { ComponentChildren } from "preact";
import { short } from "./numbers";

const LEFT = 52;
const BOTTOM = 38;
const EDGE = 9;

export type Scale = (value: number) => number;

/** The ends of an axis, in the order left and right, or bottom and top. */
export type Ends = [number, number];

/** A path through points. */
export function pathOf(points: [number, number][]): string {
  return points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
}

/** The least and the largest of some values, which are never the same. */
export function endsOf(values: number[]): Ends {
  const low = Math.min(...values);
  return [low, Math.max(...values, low + 1e-9)];
}

export function Plot(props: {
  width: number;
  height: number;
  across: Ends;
  up: Ends;
  title: string;
  below: string;
  beside: string;
  children: (x: Scale, y: Scale, bottom: number) => ComponentChildren;
}) {
  const { width, height, across, up } = props;
  const [right, bottom] = [width - EDGE, height - BOTTOM];
  const x: Scale = (value) => LEFT + ((right - LEFT) * (value - across[0])) / (across[1] - across[0]);
  const y: Scale = (value) => EDGE + (bottom - EDGE) * (1 - (value - up[0]) / (up[1] - up[0]));
  return (
    <svg viewBox={`0 0 ${width} ${height}`} class="curve" role="img" aria-label={props.title}>
      <title>{props.title}</title>
      <path d={`M${LEFT} ${EDGE}V${bottom}H${right}`} class="axis" />
      {props.children(x, y, bottom)}
      <text x={LEFT - 4} y={EDGE + 6} text-anchor="end">
        {short(up[1], 3)}
      </text>
      <text x={LEFT - 4} y={bottom} text-anchor="end">
        {short(up[0], 3)}
      </text>
      <text x={LEFT} y={height - 22}>
        {short(across[0])}
      </text>
      <text x={right} y={height - 22} text-anchor="end">
        {short(across[1])}
      </text>
      <text x={(width + LEFT) / 2} y={height - 5} text-anchor="middle">
        {props.below}
      </text>
      <text x={12} y={bottom / 2} text-anchor="middle" transform={`rotate(-90 12 ${bottom / 2})`}>
        {props.beside}
      </text>
    </svg>
  );
}
