/** From the map to a mask and a box, with sliders, and strokes that are certain. */

import { useEffect, useRef, useState } from "preact/hooks";
import { postJson } from "../api";
import type { ToolProps } from "./Tools";

interface Cut {
  size: [number, number];
  picture: string;
  mask: string;
  foreground: string;
  background: string;
  box: [number, number, number, number];
  share: number;
}

type Side = "object" | "background";
type Strokes = Record<Side, [number, number, number][]>;

const SLIDERS = [
  ["foreground", "object: above this quantile of the map", 0.5, 0.999, 0.001, 0.95],
  ["background", "background: below this quantile", 0.01, 0.8, 0.01, 0.3],
  ["gamma", "weight of the boundary, nats a pixel", 0, 1000, 10, 200],
  ["background_components", "Gaussians of the background's colours", 1, 12, 1, 8],
] as const;

export function CutTool({ id, target, className }: ToolProps) {
  const [settings, setSettings] = useState<Record<string, number>>(
    Object.fromEntries(SLIDERS.map(([name, , , , , value]) => [name, value])),
  );
  const [strokes, setStrokes] = useState<Strokes>({ object: [], background: [] });
  const [side, setSide] = useState<Side>("object");
  const [shown, setShown] = useState<"mask" | "seeds">("mask");
  const [cut, setCut] = useState<Cut | null>(null);
  const [refusal, setRefusal] = useState("");
  useEffect(() => {
    const aborted = new AbortController();
    // a slider on its way asks for nothing
    const timer = setTimeout(() => {
      postJson<Cut>(`/cut/${id}`, { target, ...settings }, strokes, aborted.signal).then(
        (given) => {
          setCut(given);
          setRefusal("");
        },
        (error: Error) => error.name !== "AbortError" && setRefusal(error.message),
      );
    }, 120);
    return () => {
      clearTimeout(timer);
      aborted.abort();
    };
  }, [id, target, settings, strokes]);
  useEffect(() => setStrokes({ object: [], background: [] }), [id]);
  return (
    <div class="cut">
      <p>
        Seeds from the saliency map of {className}, colour models of both sides, one graph cut: the paper's
        section 3.2. Draw on the picture, and what you draw is certain.
      </p>
      <div class="sliders">
        {SLIDERS.map(([name, words, low, high, step]) => (
          <label key={name}>
            {words}: <output>{settings[name]}</output>
            <input
              type="range"
              min={low}
              max={high}
              step={step}
              value={settings[name]}
              onInput={(e) =>
                setSettings({ ...settings, [name]: Number((e.target as HTMLInputElement).value) })
              }
            />
          </label>
        ))}
      </div>
      <fieldset>
        <legend>Draw</legend>
        {(["object", "background"] as const).map((each) => (
          <label key={each}>
            <input type="radio" name="side" checked={side === each} onChange={() => setSide(each)} /> {each}
          </label>
        ))}
        <button type="button" onClick={() => setStrokes({ object: [], background: [] })}>
          Clear the strokes
        </button>
        <label>
          <input
            type="checkbox"
            checked={shown === "seeds"}
            onChange={() => setShown(shown === "seeds" ? "mask" : "seeds")}
          />{" "}
          show the seeds
        </label>
      </fieldset>
      {refusal && <p class="bad">{refusal}</p>}
      {cut && <Canvas {...{ cut, strokes, side, shown }} onStroke={(all) => setStrokes(all)} />}
      {cut && (
        <p>
          Box, in pixels of the picture as it was cut ({cut.size[1]} × {cut.size[0]}): {cut.box.join(", ")};
          the mask is {(100 * cut.share).toFixed(1)} % of it.
        </p>
      )}
    </div>
  );
}

function Canvas(props: {
  cut: Cut;
  strokes: Strokes;
  side: Side;
  shown: "mask" | "seeds";
  onStroke: (all: Strokes) => void;
}) {
  const { cut, strokes, side, shown } = props;
  const frame = useRef<HTMLDivElement>(null);
  const current = useRef<[number, number, number][] | null>(null);
  const [, redraw] = useState(0);
  const [height, width] = cut.size;
  function add(event: PointerEvent) {
    const box = frame.current?.getBoundingClientRect();
    if (!box || !current.current) return;
    // both in parts of the width
    const x = (event.clientX - box.left) / box.width;
    const y = (event.clientY - box.top) / box.width;
    current.current.push([x, y, 0.015]);
    redraw((n) => n + 1);
  }
  function end() {
    if (!current.current) return;
    const all = { ...strokes, [side]: [...strokes[side], ...current.current] };
    current.current = null;
    props.onStroke(all);
  }
  const [left, top, right, bottom] = cut.box;
  const dots = (each: Side) => [
    ...strokes[each],
    ...(each === side && current.current ? current.current : []),
  ];
  const veil = (source: string, colour: string) => ({
    WebkitMask: `url(${source}) 0 0 / 100% 100%`,
    mask: `url(${source}) 0 0 / 100% 100%`,
    maskMode: "luminance",
    background: colour,
  });
  return (
    <div
      ref={frame}
      class="live scribble"
      style={{ aspectRatio: `${width} / ${height}` }}
      role="img"
      aria-label={`mask and box on the picture; draw on it for ${side}`}
      onPointerDown={(event) => {
        (event.currentTarget as HTMLElement).setPointerCapture(event.pointerId);
        current.current = [];
        add(event);
      }}
      onPointerMove={add}
      onPointerUp={end}
      onPointerCancel={end}
    >
      <img src={cut.picture} alt="" draggable={false} />
      {shown === "mask" ? (
        <div class="veil" style={veil(cut.mask, "rgb(0 158 115 / .55)")} />
      ) : (
        <>
          <div class="veil" style={veil(cut.foreground, "rgb(230 159 0 / .8)")} />
          <div class="veil" style={veil(cut.background, "rgb(0 114 178 / .6)")} />
        </>
      )}
      <svg viewBox={`0 0 ${width} ${height}`} aria-hidden="true">
        <title>box and strokes</title>
        <rect x={left} y={top} width={right - left} height={bottom - top} class="box under" />
        <rect x={left} y={top} width={right - left} height={bottom - top} class="box" />
        {(["object", "background"] as const).map((each) =>
          dots(each).map(([x, y, radius], i) => (
            <circle key={`${each}${i}`} cx={x * width} cy={y * width} r={radius * width} class={each} />
          )),
        )}
      </svg>
    </div>
  );
}
