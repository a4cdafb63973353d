/** Layers drawn anew, and the three rules' maps with and without: which rule does not care? */

import { getMap } from "../api";
import { Bar, Channel } from "../Canvas";
import { rangeOf, scaleOf } from "../colours";
import { useAnswer } from "../hooks";
import { short } from "../numbers";
import { layoutOf } from "../shapes";
import { RULES } from "../state";
import type { ToolProps } from "./Tools";

export function Randomise(props: ToolProps) {
  const { net, drawn, onDrawn } = props;
  const layers = net.nodes.filter((node) => Object.keys(node.parameters).length > 0);
  const chosen = drawn ? drawn.split(",") : [];
  const toggle = (name: string) =>
    onDrawn((chosen.includes(name) ? chosen.filter((n) => n !== name) : [...chosen, name]).join(","));
  return (
    <div>
      <p>
        Parameters that are drawn anew mean nothing. A map that stays the same does not show what the network
        has learnt. Everything on this page is then of the network with these layers drawn.
      </p>
      <fieldset class="many">
        <legend>Draw anew</legend>
        {[...layers].reverse().map((node) => (
          <label key={node.name}>
            <input type="checkbox" checked={chosen.includes(node.name)} onChange={() => toggle(node.name)} />{" "}
            {node.name}
          </label>
        ))}
      </fieldset>
      <div class="grids">
        {RULES.map((rule) => (
          <Pair key={rule} {...props} rule={rule} />
        ))}
      </div>
    </div>
  );
}

function Pair({ id, net, target, drawn, rule }: ToolProps & { rule: string }) {
  const query = { layer: "input", what: rule, start: `score:${target}` };
  const before = useAnswer((s) => getMap(`/map/${id}`, query, s), [id, target, rule]);
  const after = useAnswer((s) => getMap(`/map/${id}`, { ...query, drawn }, s), [id, target, rule, drawn]);
  const shape = [1, net.input_shape[1], net.input_shape[2]];
  return (
    <figure>
      <figcaption>
        <b class={rule}>{rule}</b>
        {before.value && after.value && (
          <>: rank correlation of |dx|, before and after, {short(rank(before.value, after.value), 3)}</>
        )}
      </figcaption>
      <div class="grids">
        {[before.value, after.value].map((values, i) => {
          if (!values || Number.isNaN(values[0]))
            return <p key={i}>no such map: the rule is not defined here</p>;
          const map = strongest(values, net.input_shape[0]);
          const scale = { ...scaleOf(0, rangeOf(map)[1]), name: "heat" as const };
          return (
            <div key={i} class="pair">
              <Channel
                {...{ values: map, channel: 0, scale, colours: net.colours, layout: layoutOf(shape) }}
                label={`${rule} ${i ? "after" : "before"}`}
              />
              <Bar
                {...{ scale, colours: net.colours }}
                unit={i ? "drawn anew, |d score / d input|" : "as trained"}
              />
            </div>
          );
        })}
      </div>
    </figure>
  );
}

/** The largest magnitude over the channels. */
export function strongest(values: Float32Array, channels: number): Float32Array {
  const count = values.length / channels;
  const map = new Float32Array(count);
  for (let i = 0; i < values.length; i++) map[i % count] = Math.max(map[i % count], Math.abs(values[i]));
  return map;
}

/** Spearman's correlation of the magnitudes; ties share their mean rank. */
export function rank(a: Float32Array, b: Float32Array): number {
  const [x, y] = [ranks(a.map(Math.abs)), ranks(b.map(Math.abs))];
  const mean = (x.length - 1) / 2;
  let both = 0;
  let first = 0;
  let second = 0;
  for (let i = 0; i < x.length; i++) {
    both += (x[i] - mean) * (y[i] - mean);
    first += (x[i] - mean) ** 2;
    second += (y[i] - mean) ** 2;
  }
  return first && second ? both / Math.sqrt(first * second) : Number.NaN;
}

function ranks(values: Float32Array): Float64Array {
  const order = Uint32Array.from(values, (_, i) => i).sort((i, j) => values[i] - values[j]);
  const result = new Float64Array(values.length);
  for (let i = 0; i < order.length; ) {
    let j = i;
    while (j + 1 < order.length && values[order[j + 1]] === values[order[i]]) j++;
    for (let k = i; k <= j; k++) result[order[k]] = (i + j) / 2;
    i = j + 1;
  }
  return result;
}
