/** One channel as a picture, a pixel a value, and the bar that says what its colours mean. */

import { useEffect, useRef } from "preact/hooks";
import { type Colours, paint, type Scale } from "./colours";
import { short } from "./numbers";
import type { Layout } from "./shapes";

export interface Painted {
  values: Float32Array;
  layout: Layout;
  channel: number;
  scale: Scale;
  colours: Colours;
}

export function Channel(props: Painted & { label: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { values, layout, channel, scale, colours } = props;
  useEffect(() => {
    if (canvas.current) paint(canvas.current, values, layout, channel, scale, colours);
  }, [values, layout, channel, scale.name, scale.low, scale.high, colours]);
  return <canvas ref={canvas} class="channel" role="img" aria-label={props.label} />;
}

export function Bar({ scale, colours, unit }: { scale: Scale; colours: Colours; unit: string }) {
  const stops = colours[scale.name].filter((_, i, all) => i % 16 === 0 || i === all.length - 1);
  const gradient = `linear-gradient(to right, ${stops.map((c) => `rgb(${c.join(",")})`).join(",")})`;
  const middle = scale.low < 0 ? 0 : (scale.low + scale.high) / 2;
  return (
    <div
      class="bar"
      role="img"
      aria-label={`colours from ${short(scale.low)} to ${short(scale.high)}: ${unit}`}
    >
      <div class="ramp" style={{ background: gradient }} />
      <div class="ends">
        <span>{short(scale.low, 3)}</span>
        <span>{short(middle, 3)}</span>
        <span>{short(scale.high, 3)}</span>
      </div>
      <div class="unit">{unit}</div>
    </div>
  );
}
