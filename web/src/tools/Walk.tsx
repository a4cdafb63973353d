/** The validity slider: along the gradient, until the linear model of the score breaks. */

import { useEffect, useState } from "preact/hooks";
import { follow } from "../api";
import { short } from "../numbers";
import { endsOf, Plot, pathOf } from "../Plot";
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

function Curves({ first, places, at }: { first: First; places: Place[]; at: number }) {
  return (
    <Plot
      width={480}
      height={220}
      across={[-first.reach, first.reach]}
      up={endsOf(places.flatMap((p) => [p.score, p.linear]))}
      title="score and its linear model along the gradient"
      below="grey levels along the gradient; solid: score, dashed: linear model"
      beside="score"
    >
      {(x, y, bottom) => (
        <>
          <path d={pathOf(places.map((p) => [x(p.t), y(p.linear)]))} class="line dashed" />
          <path d={pathOf(places.map((p) => [x(p.t), y(p.score)]))} class="line" />
          <path d={`M${x(at)} 8V${bottom}`} class="axis here" />
        </>
      )}
    </Plot>
  );
}
