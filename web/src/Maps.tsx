/** The chosen layer, large: its map forwards, or its gradients by the three rules; and a button that walks back. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Forwards, getMap, type Net, type PassRecord } from "./api";
import { Bar } from "./Canvas";
import { rangeOf, scaleOf } from "./colours";
import { useAnswer } from "./hooks";
import { MapView } from "./MapView";
import type { Layout } from "./shapes";
import { RULES, type State } from "./state";

interface Props {
  net: Net;
  id: string;
  run: PassRecord;
  drawn: string;
  layer: string;
  channel: number;
  layout: Layout;
  shape: number[];
  cell: number;
  start: string;
  mode: State["mode"];
  values: Float32Array | null;
  forwards: Forwards | null;
  onMode: (mode: State["mode"]) => void;
  onChannel: (channel: number) => void;
  onCell: (cell: number) => void;
  onLayer: (layer: string) => void;
}

const STEP = 900; // milliseconds that a layer is shown while the way back is played

export function Maps(props: Props) {
  const { net, run, layer, channel, layout, cell, mode, values } = props;
  const [low, high] = run.ranges[layer] ?? [0, 1];
  const scale = useMemo(() => scaleOf(low, high), [low, high]);
  const chosen = cell >= 0 && Math.floor(cell / layout.count) === channel ? cell % layout.count : -1;
  const shared = {
    layout,
    channel,
    chosen,
    colours: net.colours,
    onChoose: (place: number) => props.onCell(channel * layout.count + place),
  };
  const isFilled = values !== null && values.length === layout.channels * layout.count;
  return (
    <section class="maps" aria-label={`Maps of ${layer}`}>
      <h2>
        {layer} <span class="soft">{props.shape.join(" × ")}</span>
      </h2>
      <div class="buttons">
        {layout.channels > 1 && (
          <label>
            channel{" "}
            <input
              type="number"
              min={0}
              max={layout.channels - 1}
              value={channel}
              onChange={(event) => {
                const to = Number((event.target as HTMLInputElement).value);
                props.onChannel(Math.min(layout.channels - 1, Math.max(0, Math.round(to) || 0)));
              }}
            />{" "}
            of {layout.channels}
          </label>
        )}
        <button type="button" aria-pressed={mode === "forwards"} onClick={() => props.onMode("forwards")}>
          Forwards
        </button>
        <button type="button" aria-pressed={mode === "backwards"} onClick={() => props.onMode("backwards")}>
          Backwards
        </button>
        <Play {...props} />
      </div>
      {mode === "forwards" && isFilled && (
        <>
          <MapView {...shared} values={values} scale={scale} label={`${layer}, channel ${channel}`} />
          <Bar
            scale={scale}
            colours={net.colours}
            unit={`value of ${layer}; the range is that of the whole layer`}
          />
        </>
      )}
      {mode === "backwards" && (
        <div class="three">
          {RULES.map((rule) => (
            <Gradient key={rule} {...props} rule={rule} shared={shared} />
          ))}
        </div>
      )}
    </section>
  );
}

type Shared = Pick<Parameters<typeof MapView>[0], "layout" | "channel" | "chosen" | "colours" | "onChoose">;

function Gradient(props: Props & { rule: string; shared: Shared }) {
  const { id, layer, drawn, start, rule, shared, net } = props;
  const ask = (signal: AbortSignal) => getMap(`/map/${id}`, { layer, what: rule, start, drawn }, signal);
  const { value, refusal } = useAnswer(ask, [id, layer, drawn, start, rule]);
  const scale = useMemo(() => {
    const [low, high] = value ? rangeOf(value) : [0, 1];
    return scaleOf(low, high);
  }, [value]);
  const isMissing = value !== null && Number.isNaN(value[0]);
  const isFilled = value !== null && value.length === shared.layout.channels * shared.layout.count;
  return (
    <figure>
      <figcaption>
        <b class={rule}>{rule}</b>
      </figcaption>
      {refusal && <p class="bad">{refusal}</p>}
      {isMissing && (
        <p class="soft">none: behind the start, or the rule is not defined for a layer on the way</p>
      )}
      {isFilled && !isMissing && (
        <>
          <MapView {...shared} values={value} scale={scale} label={`${rule} at ${layer}`} />
          <Bar scale={scale} colours={net.colours} unit="d start / d value" />
        </>
      )}
    </figure>
  );
}

/** Walk the layers back, from the start to the picture. */
function Play({ net, start, onLayer }: Props) {
  const [at, setAt] = useState(-1);
  const timer = useRef(0);
  const names = useMemo(() => {
    const all = ["input", ...net.nodes.map((node) => node.name)];
    const unit = /^unit:(.*)@\d+$/.exec(start)?.[1];
    return (unit ? all.slice(0, all.indexOf(unit) + 1) : all).reverse();
  }, [net, start]);
  useEffect(() => {
    if (at < 0) return;
    onLayer(names[at]);
    timer.current = window.setTimeout(() => setAt(at + 1 < names.length ? at + 1 : -1), STEP);
    return () => clearTimeout(timer.current);
  }, [at]);
  return (
    <button type="button" onClick={() => setAt(at < 0 ? 0 : -1)}>
      {at < 0 ? "▶ Play the way back" : `■ Stop (${at + 1} of ${names.length})`}
    </button>
  );
}
