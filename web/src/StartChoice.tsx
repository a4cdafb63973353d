/** The scalar that the way back starts from. */

import type { Net, PassRecord } from "./api";

export function writeStart(start: string, net: Net): string {
  const [kind, rest] = [start.slice(0, start.indexOf(":")), start.slice(start.indexOf(":") + 1)];
  const label = (c: string) => net.labels?.[Number(c)] ?? c;
  if (kind === "unit") return rest.replace("@", " unit ");
  if (kind === "difference") return `(score ${rest.split("-").map(label).join(" − score ")})`;
  return `${kind} ${label(rest)}`;
}

interface Props {
  net: Net;
  run: PassRecord;
  start: string;
  unit: string;
  onStart: (start: string) => void;
}

export function StartChoice({ net, run, start, unit, onStart }: Props) {
  const [first, second] = run.predictions;
  const options = new Map<string, string>();
  for (const each of run.predictions)
    options.set(`score:${each.target}`, writeStart(`score:${each.target}`, net));
  for (const each of run.predictions.slice(0, 3)) {
    options.set(`probability:${each.target}`, writeStart(`probability:${each.target}`, net));
  }
  if (second) {
    const both = `difference:${first.target}-${second.target}`;
    options.set(both, writeStart(both, net));
  }
  if (unit) options.set(unit, `the chosen value, ${writeStart(unit, net)}`);
  if (!options.has(start)) options.set(start, writeStart(start, net));
  return (
    <label class="start">
      The way back starts at{" "}
      <select value={start} onChange={(event) => onStart((event.target as HTMLSelectElement).value)}>
        {[...options].map(([value, words]) => (
          <option key={value} value={value}>
            {words}
          </option>
        ))}
      </select>
    </label>
  );
}
