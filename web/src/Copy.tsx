/** The view as Python, as a command, and as a page of its own. */

import { useState } from "preact/hooks";
import { isExported, type Net } from "./api";
import { asCommand, asPython } from "./code";
import { placeOf } from "./shapes";
import { type State, writeState } from "./state";

interface Props {
  net: Net;
  state: State;
  shape: number[];
  cell: number;
  id: string;
}

export function Copy({ net, state, shape, cell, id }: Props) {
  const [open, setOpen] = useState<"" | "python" | "command">("");
  const [isCopied, setCopied] = useState(false);
  const image = net.examples.includes(state.image) ? state.image : "picture.png";
  const shown = { net: net.name, image };
  const hash = writeState({ ...state, cell });
  const place = cell >= 0 ? placeOf(cell, shape) : [];
  const text = open === "python" ? asPython(state, shown, shape, place) : asCommand(state, shown, hash);
  const toggle = (which: "python" | "command") => {
    setCopied(false);
    setOpen(open === which ? "" : which);
  };
  return (
    <div class="copy">
      <div class="buttons">
        <button type="button" aria-expanded={open === "python"} onClick={() => toggle("python")}>
          As Python
        </button>
        <button type="button" aria-expanded={open === "command"} onClick={() => toggle("command")}>
          As command
        </button>
        {!isExported() && (
          <a
            class="button"
            download="explore.html"
            href={`/explore/api/export/${id}?${new URLSearchParams({ view: hash.slice(1) })}`}
          >
            Save this view as a page
          </a>
        )}
      </div>
      {open && (
        <div class="code">
          <pre tabIndex={0}>{text}</pre>
          <button
            type="button"
            onClick={() =>
              navigator.clipboard.writeText(text).then(
                () => setCopied(true),
                () => {},
              )
            }
          >
            {isCopied ? "Copied" : "Copy"}
          </button>
        </div>
      )}
    </div>
  );
}
