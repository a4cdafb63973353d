/** One map, large: values on hover, a cell chosen by a click or by keys, and what it reads outlined. */

import { useEffect, useRef, useState } from "preact/hooks";
import { Channel, type Painted } from "./Canvas";
import { exact } from "./numbers";

export interface Outline {
  top: number;
  left: number;
  rows: number;
  columns: number;
}

interface Props extends Painted {
  label: string;
  /** the chosen place within the channel, or -1 */
  chosen: number;
  outline?: Outline | null;
  onChoose: (place: number) => void;
}

const KEYS: Record<string, [number, number]> = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
};

export function MapView(props: Props) {
  const { layout, channel, values, chosen } = props;
  const frame = useRef<HTMLDivElement>(null);
  const [pointed, setPointed] = useState(-1);
  useEffect(() => setPointed(-1), [values, channel]);
  const shown = pointed >= 0 ? pointed : chosen;

  function placeAt(event: { clientX: number; clientY: number }): number {
    const box = frame.current?.getBoundingClientRect();
    if (!box) return -1;
    const column = Math.floor(((event.clientX - box.left) / box.width) * layout.columns);
    const row = Math.floor(((event.clientY - box.top) / box.height) * layout.rows);
    const place = row * layout.columns + column;
    const isInside = row >= 0 && column >= 0 && row < layout.rows && column < layout.columns;
    return isInside && place < layout.count ? place : -1;
  }

  function onKey(event: KeyboardEvent) {
    const at = pointed >= 0 ? pointed : Math.max(0, chosen);
    const move = KEYS[event.key];
    if (move) {
      const row = Math.min(layout.rows - 1, Math.max(0, Math.floor(at / layout.columns) + move[0]));
      const column = Math.min(layout.columns - 1, Math.max(0, (at % layout.columns) + move[1]));
      setPointed(Math.min(layout.count - 1, row * layout.columns + column));
    } else if (event.key === "Enter" || event.key === " ") props.onChoose(at);
    else return;
    event.preventDefault();
  }

  const words =
    shown < 0
      ? "point at a value, or use the arrow keys; Enter chooses it"
      : `row ${Math.floor(shown / layout.columns)}, column ${shown % layout.columns}: ${exact(
          values[channel * layout.count + shown],
        )}`;
  const width = Math.max(
    1,
    Math.min(layout.columns, Math.ceil((layout.columns / layout.rows) * layout.rows)),
  );
  return (
    <div class="map">
      <div
        ref={frame}
        class="frame"
        role="application"
        tabIndex={0}
        aria-label={`${props.label}; ${words}`}
        style={{ aspectRatio: `${layout.columns} / ${layout.rows}`, maxWidth: `min(100%, ${width * 24}px)` }}
        onPointerMove={(event) => setPointed(placeAt(event))}
        onPointerLeave={() => setPointed(-1)}
        onClick={(event) => {
          const place = placeAt(event);
          if (place >= 0) props.onChoose(place);
        }}
        onKeyDown={onKey}
      >
        <Channel {...props} />
        {props.outline && <Box kind="window" {...props.outline} {...{ layout }} />}
        {shown >= 0 && (
          <Box
            kind="cell"
            top={Math.floor(shown / layout.columns)}
            left={shown % layout.columns}
            rows={1}
            columns={1}
            layout={layout}
          />
        )}
      </div>
      <p class="reading" aria-live="polite">
        {words}
      </p>
    </div>
  );
}

export function Box(props: Outline & { kind: string; layout: { rows: number; columns: number } }) {
  const { rows, columns } = props.layout;
  const style = {
    top: `${(100 * props.top) / rows}%`,
    left: `${(100 * props.left) / columns}%`,
    height: `${(100 * props.rows) / rows}%`,
    width: `${(100 * props.columns) / columns}%`,
  };
  return <div class={`outline ${props.kind}`} style={style} aria-hidden="true" />;
}
