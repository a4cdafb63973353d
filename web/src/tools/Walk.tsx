/** The validity slider: along the gradient, until the linear model of the score breaks. */

import { useEffect, useState } from "preact/hooks";
import { follow } from "../api";
import { short } from "../numbers";
import type { ToolProps } from "./Tools";

interface First {
  uphill: number | null;
  downhill: number | null;
  score: number;
  slope: number;
  reach: number;
  ties: number;
  beyond: [number | null, number | null];
}
interface Place {
  t: number;
  score: number;
  linear: number;
  best: number;
  flips: Record<string, number>;
}

export function Walk({ id, net, target, className, drawn }: ToolProps) {
  const [reach, setReach] = useState(8);
  const [first, setFirst] = useState<First | null>(null);
  const [places, setPlaces] = useState<Place[]>([]);
  const [at, setAt] = useState(0);
  const [refusal, setRefusal] = useState("");
  useEffect(() => {
    setFirst(null);
    setPlaces([]);
    setRefusal("");
    const take = (told: First | Place) => {
      if ("t" in told) setPlaces((all) => [...all, told]);
      else setFirst(told);
    };
    return follow<First | Place>(`/walk/${id}`, { target, reach, drawn }, take, setRefusal);
  }, [id, target, reach, drawn]);
  const nearest = places.reduce<Place | null>(
    (best, p) => (best === null || Math.abs(p.t - at) < Math.abs(best.t - at) ? p : best),
    null,
  );
  const flips = Object.entries(nearest?.flips ?? {});
  return (
    <div>
      <p>
        Near the picture the score of {className} is linear, w·I + b, and w is the saliency map. Walk along w:
        the pixel that changes most changes by as many grey levels as the slider says.
      </p>
      {refusal && <p class="bad">{refusal}</p>}
      {first && (
        <p>
          It is exactly linear from {reachOf(first.downhill, "−")} to {reachOf(first.uphill, "")} grey levels
          {first.ties > 0 &&
            `; ${first.ties} rectifiers and pools lie on their kink here already, in flat parts of the picture, and all others keep their side from ${reachOf(first.beyond[1], "−")} to ${reachOf(first.beyond[0], "")}`}
          .
        </p>
      )}
      {first && places.length > 1 && <Curves {...{ first, places, at }} />}
      <label class="wide-slider">
        grey levels along the gradient: <output>{short(at, 3)}</output>
        <input
          type="range"
          min={-reach}
          max={reach}
          step={reach / 40}
          value={at}
          onInput={(e) => setAt(Number((e.target as HTMLInputElement).value))}
        />
      </label>
      <label>
        reach{" "}
        <select value={reach} onChange={(e) => setReach(Number((e.target as HTMLSelectElement).value))}>
          {[0.5, 2, 8, 32, 128].map((n) => (
            <option key={n} value={n}>
              {n} grey levels
            </option>
          ))}
        </select>
      </label>
      {nearest && (
        <>
          <p aria-live="polite">
            At {short(nearest.t, 3)}: score {short(nearest.score, 6)}, by the linear model{" "}
            {short(nearest.linear, 6)}; the best class is {net.labels?.[nearest.best] ?? nearest.best}.
          </p>
          <p>
            {flips.length === 0
              ? "Every rectifier and every pool is as it was."
              : `Switched: ${flips.map(([name, n]) => `${n} in ${name}`).join(", ")}.`}
          </p>
        </>
      )}
    </div>
  );
}

/** How far; nothing is infinity. */
function reachOf(levels: number | null, sign: string): string {
  return levels === null ? `${sign}infinity` : levels === 0 ? "0" : sign + short(levels, 3);
}

const WIDTH = 480;
const HEIGHT = 220;
const LEFT = 56;
const BOTTOM = 40;

function Curves({ first, places, at }: { first: First; places: Place[]; at: number }) {
  const all = places.flatMap((p) => [p.score, p.linear]);
  const low = Math.min(...all);
  const high = Math.max(...all, low + 1e-9);
  const x = (t: number) => LEFT + ((WIDTH - LEFT - 10) * (t + first.reach)) / (2 * first.reach);
  const y = (s: number) => 8 + (HEIGHT - BOTTOM - 8) * (1 - (s - low) / (high - low));
  const line = (of: (p: Place) => number) =>
    places.map((p, i) => `${i ? "L" : "M"}${x(p.t).toFixed(1)} ${y(of(p)).toFixed(1)}`).join("");
  return (
    <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} class="curve" role="img" aria-label="score and its linear model">
      <title>score and its linear model along the gradient</title>
      <path d={`M${LEFT} 8V${HEIGHT - BOTTOM}H${WIDTH - 10}`} class="axis" />
      <path d={line((p) => p.linear)} class="line dashed" />
      <path d={line((p) => p.score)} class="line" />
      <path d={`M${x(at)} 8V${HEIGHT - BOTTOM}`} class="axis here" />
      <text x={LEFT - 4} y={14} text-anchor="end">
        {short(high, 3)}
      </text>
      <text x={LEFT - 4} y={HEIGHT - BOTTOM} text-anchor="end">
        {short(low, 3)}
      </text>
      <text x={LEFT} y={HEIGHT - 24}>
        {short(-first.reach)}
      </text>
      <text x={WIDTH - 10} y={HEIGHT - 24} text-anchor="end">
        {short(first.reach)}
      </text>
      <text x={(WIDTH + LEFT) / 2} y={HEIGHT - 6} text-anchor="middle">
        grey levels along the gradient; solid: score, dashed: linear model
      </text>
      <text
        x={12}
        y={(HEIGHT - BOTTOM) / 2}
        text-anchor="middle"
        transform={`rotate(-90 12 ${(HEIGHT - BOTTOM) / 2})`}
      >
        score
      </text>
    </svg>
  );
}
