/** The page: a picture on the left, every layer below it, one map large, and one number taken to pieces. */

import { useCallback, useEffect, useMemo, useState } from "preact/hooks";
import {
  type Backwards,
  chooseExample,
  type Forwards,
  getJson,
  getMap,
  type Net,
  type PassRecord,
  sendPicture,
} from "./api";
import { BackwardsPanel } from "./Backwards";
import { Copy } from "./Copy";
import { ForwardsPanel } from "./Forwards";
import { useAnswer } from "./hooks";
import { Input } from "./Input";
import { Maps } from "./Maps";
import { PictureSource } from "./Picture";
import { StartChoice, writeStart } from "./StartChoice";
import { Strip } from "./Strip";
import { layoutOf } from "./shapes";
import { DEFAULTS, readState, type State, writeState } from "./state";
import { Tools } from "./tools/Tools";

export function App() {
  const net = useAnswer((signal) => getJson<Net>("/net", {}, signal), []);
  if (net.refusal) return <p class="page bad">{net.refusal}</p>;
  return net.value ? <Page net={net.value} /> : <p class="page">Reading the network …</p>;
}

function useAddress(): [State, (change: Partial<State>) => void] {
  const [state, setState] = useState<State>(() =>
    readState(window.EXPORTED ? String(window.EXPORTED.view) : location.hash),
  );
  useEffect(() => {
    const read = () => setState(readState(location.hash));
    window.addEventListener("hashchange", read);
    return () => window.removeEventListener("hashchange", read);
  }, []);
  const change = useCallback((some: Partial<State>) => {
    setState((last) => {
      const next = { ...last, ...some };
      history.replaceState(null, "", writeState(next));
      return next;
    });
  }, []);
  return [state, change];
}

function Page({ net }: { net: Net }) {
  const [state, change] = useAddress();
  const [id, setId] = useState("");
  const [refusal, setRefusal] = useState("");

  const open = useCallback(
    (ask: Promise<string>, image: string) => {
      setRefusal("");
      ask.then(
        (given) => {
          setId(given);
          change({ image: image || given });
        },
        (error: Error) => setRefusal(error.message),
      );
    },
    [change],
  );
  const onExample = useCallback((name: string) => open(chooseExample(name), name), [open]);
  const onPicture = useCallback((picture: Blob) => open(sendPicture(picture), ""), [open]);
  useEffect(() => {
    const { image } = state;
    if (net.examples.includes(image)) onExample(image);
    else if (image && image !== "given") setId(image);
    else if (net.given) setId(net.given);
    else onExample(net.examples[0]);
  }, []);

  const { drawn } = state;
  const run = useAnswer(id ? (signal) => getJson<PassRecord>(`/pass/${id}`, { drawn }, signal) : null, [
    id,
    drawn,
  ]);
  return (
    <div class="explore">
      <header>
        <h1>{net.name}</h1>
        <PictureSource {...{ net, onPicture, onExample }} />
      </header>
      <main>
        {(refusal || run.refusal) && (
          <p class="bad" role="alert">
            {refusal || run.refusal}
          </p>
        )}
        {run.value && <Seen {...{ net, id, state, change }} run={run.value} />}
        {!run.value && !run.refusal && !refusal && <p>The picture is on its way through the network …</p>}
      </main>
    </div>
  );
}

interface SeenProps {
  net: Net;
  id: string;
  run: PassRecord;
  state: State;
  change: (some: Partial<State>) => void;
}

function Seen({ net, id, run, state, change }: SeenProps) {
  const { drawn } = state;
  const start = state.start || run.start;
  const layer =
    net.nodes.some((n) => n.name === state.layer) || state.layer === "input"
      ? state.layer
      : net.nodes[0].name;
  const shapeOf = useCallback(
    (name: string) =>
      name === "input" ? net.input_shape : (net.nodes.find((n) => n.name === name)?.shape ?? []),
    [net],
  );
  const shape = shapeOf(layer);
  const layout = useMemo(() => layoutOf(shape), [shape]);
  const size = layout.channels * layout.count;
  const cell = state.cell >= 0 && state.cell < size ? state.cell : -1;
  const asked = cell >= 0 ? Math.floor(cell / layout.count) : state.channel;
  const channel = asked >= 0 ? Math.min(asked, layout.channels - 1) : (run.strongest[layer]?.[0] ?? 0);
  const values = useAnswer((signal) => getMap(`/map/${id}`, { layer, drawn }, signal), [id, layer, drawn]);

  const query = { layer, cell, drawn };
  const forwards = useAnswer(
    cell >= 0 ? (signal) => getJson<Forwards>(`/forwards/${id}`, query, signal) : null,
    [id, layer, cell, drawn],
  );
  const backwards = useAnswer(
    cell >= 0 ? (signal) => getJson<Backwards>(`/backwards/${id}`, { ...query, start }, signal) : null,
    [id, layer, cell, drawn, start],
  );
  const onGo = useCallback(
    (name: string, to: number) => {
      const { count } = layoutOf(shapeOf(name));
      change({ layer: name, cell: to, channel: Math.floor(to / count) });
    },
    [change, shapeOf],
  );
  const onLayer = (name: string, to: number) => change({ layer: name, channel: to, cell: -1 });
  const target = /^(?:score|probability|difference):(\d+)/.exec(start)?.[1];
  const shownTarget = state.target >= 0 ? state.target : Number(target ?? run.predictions[0]?.target ?? -1);
  const label = net.labels?.[shownTarget];
  const className = label ? `“${label}”` : `class ${shownTarget}`;
  return (
    <>
      <div class="columns">
        <div class="left">
          <Input
            {...{ net, run, start }}
            field={forwards.value?.field ?? null}
            onStart={(s) => change({ start: s })}
          />
          <Strip {...{ net, run, id, drawn, layer, channel }} onChoose={onLayer} />
        </div>
        <div class="middle">
          <StartChoice
            {...{ net, run, start }}
            unit={cell >= 0 ? `unit:${layer}@${cell}` : ""}
            onStart={(s) => change({ start: s })}
          />
          {drawn && (
            <p class="verdict bad">
              {drawn.includes("fault:") ? "A network with a fault. " : "Layers drawn anew. "}
              <button type="button" onClick={() => change({ drawn: "" })}>
                As trained
              </button>
            </p>
          )}
          <Maps
            {...{ net, id, run, drawn, layer, channel, layout, cell, start, shape }}
            mode={state.mode}
            values={values.value}
            forwards={forwards.value}
            onMode={(mode) => change({ mode })}
            onChannel={(to) => change({ channel: to, cell: -1, layer })}
            onCell={(to) => change({ cell: to, layer, channel: Math.floor(to / layout.count) })}
            onLayer={(name) =>
              change({ layer: name, channel: DEFAULTS.channel, cell: DEFAULTS.cell, mode: "backwards" })
            }
          />
          {values.refusal && <p class="bad">{values.refusal}</p>}
          <Copy {...{ net, state: { ...state, layer, start }, shape, cell, id }} />
        </div>
        <div class="right">
          {cell < 0 && (
            <p class="soft invite">
              Choose a value of the map to see what it is made of, and where its gradient goes.
            </p>
          )}
          {[forwards.refusal, backwards.refusal].filter(Boolean).map((told) => (
            <p key={told} class="bad" role="alert">
              {told}
            </p>
          ))}
          {cell >= 0 && forwards.value && <ForwardsPanel {...{ net, shapeOf, onGo }} told={forwards.value} />}
          {cell >= 0 && backwards.value && (
            <BackwardsPanel {...{ shapeOf, onGo }} told={backwards.value} start={writeStart(start, net)} />
          )}
        </div>
      </div>
      {shownTarget >= 0 && (
        <Tools
          {...{ id, net, className, drawn }}
          target={shownTarget}
          tool={state.tool}
          onTool={(tool) => change({ tool })}
          onDrawn={(names) => change({ drawn: names })}
        />
      )}
    </>
  );
}
