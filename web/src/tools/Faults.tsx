/** One fault on a switch, what `check` says of it, and a comparison layer by layer. */

import { useEffect, useRef, useState } from "preact/hooks";
import { follow, getJson } from "../api";
import { short } from "../numbers";
import type { ToolProps } from "./Tools";

interface Failure {
  layer: string;
  kind: string;
  what: string;
  error: number | null;
  tolerance: number | null;
}
interface Progress {
  done: number;
  of: number;
}
interface Verdict {
  ok: boolean;
  verdict: string;
  failures: Failure[];
}
interface Compared {
  with: string;
  verdict: string;
  first: string | null;
  values: { name: string; kind: string; error: number | null; tolerance: number | null; ok: boolean }[];
}

export function Faults(props: ToolProps) {
  const { net, drawn, onDrawn } = props;
  const names = drawn ? drawn.split(",") : [];
  const fault = names.find((name) => name.startsWith("fault:"))?.slice(6) ?? "";
  const [isHidden, setHidden] = useState(false);
  const choose = (name: string) =>
    onDrawn(
      [...names.filter((each) => !each.startsWith("fault:")), ...(name ? [`fault:${name}`] : [])].join(","),
    );
  const surprise = () => {
    const all = Object.keys(net.faults);
    setHidden(true);
    choose(all[Math.floor(Math.random() * all.length)]);
  };
  return (
    <div>
      <p>
        With a fault in one layer everything on this page is of the faulty network. A gradient check finds
        what is wrong backwards, a comparison what is wrong forwards; and on a value before the faulty layer
        the terms do not add up to its gradient.
      </p>
      <fieldset>
        <legend>Fault</legend>
        <label>
          <input
            type="radio"
            name="fault"
            checked={fault === ""}
            onChange={() => {
              setHidden(false);
              choose("");
            }}
          />{" "}
          none
        </label>
        {!isHidden &&
          Object.entries(net.faults).map(([name, words]) => (
            <label key={name}>
              <input type="radio" name="fault" checked={fault === name} onChange={() => choose(name)} />{" "}
              {words}
            </label>
          ))}
        <button type="button" onClick={surprise}>
          One that I have to find
        </button>
        {isHidden && (
          <button type="button" onClick={() => setHidden(false)}>
            Tell me which
          </button>
        )}
      </fieldset>
      <Check {...props} />
      <Compare {...props} />
    </div>
  );
}

function Check({ id, drawn }: ToolProps) {
  const [progress, setProgress] = useState<Progress | null>(null);
  const [told, setTold] = useState<Verdict | null>(null);
  const [refusal, setRefusal] = useState("");
  const end = useRef<() => void>(() => {});
  const begin = () => {
    end.current();
    setTold(null);
    setRefusal("");
    setProgress({ done: 0, of: 1 });
    const take = (step: Progress | Verdict) => ("verdict" in step ? setTold(step) : setProgress(step));
    end.current = follow<Progress | Verdict>(`/check/${id}`, { drawn }, take, (words) => {
      setProgress(null);
      setRefusal(words);
    });
  };
  useEffect(() => {
    setTold(null);
    setProgress(null);
    return () => end.current();
  }, [id, drawn]);
  return (
    <section aria-label="Gradient check">
      <p class="buttons">
        <button type="button" onClick={begin} disabled={progress !== null}>
          Check every gradient
        </button>
        {progress && <progress max={progress.of} value={progress.done} aria-label="layers checked" />}
      </p>
      {refusal && <p class="bad">{refusal}</p>}
      {told && <p class={`verdict ${told.ok ? "good" : "bad"}`}>{told.verdict}</p>}
      {told && told.failures.length > 0 && (
        <Table
          heads={["layer", "gradient of", "error", "tolerance"]}
          rows={told.failures.map((f) => [
            `${f.layer} (${f.kind.replace(/^_/, "")})`,
            f.what,
            short(f.error, 3),
            short(f.tolerance, 3),
          ])}
        />
      )}
    </section>
  );
}

function Compare({ id, net, drawn }: ToolProps) {
  const [told, setTold] = useState<Compared | null>(null);
  const [refusal, setRefusal] = useState("");
  useEffect(() => setTold(null), [id, drawn]);
  const begin = (second: number) => {
    setTold(null);
    setRefusal("");
    getJson<Compared>(`/compare/${id}`, { drawn, second }).then(setTold, (error: Error) =>
      setRefusal(error.message),
    );
  };
  return (
    <section aria-label="Comparison, layer by layer">
      <p class="buttons">
        <button type="button" onClick={() => begin(0)}>
          Compare with the network as trained
        </button>
        {net.second && (
          <button type="button" onClick={() => begin(1)}>
            Compare with {net.second}
          </button>
        )}
      </p>
      {refusal && <p class="bad">{refusal}</p>}
      {told && <p class={`verdict ${told.first === null ? "good" : "bad"}`}>{told.verdict}</p>}
      {told && (
        <Table
          heads={["layer", "relative difference", "explained by rounding", ""]}
          rows={told.values.map((v) => [
            `${v.name} (${v.kind})`,
            short(v.error, 3),
            short(v.tolerance, 3),
            v.name === told.first ? "the first that differs" : v.ok ? "agrees" : "differs",
          ])}
        />
      )}
    </section>
  );
}

function Table({ heads, rows }: { heads: string[]; rows: string[][] }) {
  return (
    <div class="table" tabIndex={0} role="group" aria-label={heads.join(", ")}>
      <table>
        <thead>
          <tr>
            {heads.map((head) =>
              head ? (
                <th key={head} scope="col">
                  {head}
                </th>
              ) : (
                <td key="none" />
              ),
            )}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, i) => (
            <tr key={i}>
              {row.map((cell, j) => (
                <td key={j}>{cell}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
