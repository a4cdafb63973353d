/** A cell forwards: its window, the products term by term, and their sum beside the program's own number. */

import { useState } from "preact/hooks";
import type { Forwards, Net, Terms } from "./api";
import { colourOf, inkOn, rangeOf, scaleOf } from "./colours";
import { exact, short } from "./numbers";
import { CellLink, useFew } from "./Terms";

interface Props {
  net: Net;
  told: Forwards;
  shapeOf: (name: string) => number[];
  onGo: (layer: string, cell: number) => void;
}

export function ForwardsPanel({ net, told, shapeOf, onGo }: Props) {
  const where = `${told.layer} [${told.place.join(", ")}]`;
  return (
    <section class="panel-cell" aria-label={`${where} forwards`}>
      <h3>
        Forwards: {where} = <output data-role="value">{exact(told.value)}</output>
      </h3>
      <p class="words">{told.words}</p>
      {told.terms && told.grid && <Windows net={net} told={told} terms={told.terms} grid={told.grid} />}
      {told.facts && Object.keys(told.facts).length > 0 && (
        <dl class="facts">
          {Object.entries(told.facts).map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{exact(value)}</dd>
            </div>
          ))}
        </dl>
      )}
      {told.terms && <TermTable told={told} terms={told.terms} shapeOf={shapeOf} onGo={onGo} />}
      {told.form === "sum" && told.terms && (
        <p class="sum">
          {told.terms.index.length === 1 ? "1 product" : `${told.terms.index.length} products`}
          {told.bias !== null && told.bias !== undefined && (
            <>
              {" "}
              and the bias <output data-role="bias">{exact(told.bias)}</output>
            </>
          )}
          : their exact sum is <output data-role="sum">{exact(told.sum)}</output>, the program's number{" "}
          {told.error === 0 ? "the same" : `${short(told.error, 2)} units of its last place away`}.
        </p>
      )}
    </section>
  );
}

/** The window on one channel: x, weight and product where they lie. */
function Windows(props: { net: Net; told: Forwards; terms: Terms; grid: [number, number, number] }) {
  const { net, told, terms } = props;
  const [channels, rows, columns] = props.grid;
  const size = rows * columns;
  const sums = Array.from({ length: channels }, (_, c) =>
    terms.product.slice(c * size, (c + 1) * size).reduce((a, b) => a + b, 0),
  );
  const strongest = sums.reduce((best, s, c) => (Math.abs(s) > Math.abs(sums[best]) ? c : best), 0);
  const [picked, setPicked] = useState(-1);
  const channel = picked >= 0 && picked < channels ? picked : strongest;
  const part = (values: number[]) => values.slice(channel * size, (channel + 1) * size);
  const isMaximum = told.form === "maximum";
  const tables: [string, number[]][] = isMaximum
    ? [["x", part(terms.x)]]
    : [
        ["x", part(terms.x)],
        ["weight", part(terms.factor)],
        ["product", part(terms.product)],
      ];
  const padding = part(terms.index).map((i) => i < 0);
  const marked = isMaximum ? part(terms.factor).map((f) => f !== 0) : [];
  return (
    <div class="windows">
      {channels > 1 && (
        <label>
          channel of the input{" "}
          <select value={channel} onChange={(e) => setPicked(Number((e.target as HTMLSelectElement).value))}>
            {sums.map((s, c) => (
              <option key={c} value={c}>
                {c} (sum {short(s, 3)})
              </option>
            ))}
          </select>
        </label>
      )}
      <div class="grids">
        {tables.map(([name, values]) => (
          <Grid
            key={name}
            {...{ name, values, columns, marked, net }}
            padding={name === "weight" ? values.map(() => false) : padding}
          />
        ))}
      </div>
    </div>
  );
}

function Grid(props: {
  name: string;
  values: number[];
  columns: number;
  padding: boolean[];
  marked: boolean[];
  net: Net;
}) {
  const { values, columns, padding, marked } = props;
  const scale = scaleOf(...rangeOf(values));
  const lines = Array.from({ length: values.length / columns }, (_, r) => r);
  return (
    <figure>
      <div class="scroll">
        <table class="grid">
          <caption>{props.name}</caption>
          <tbody>
            {lines.map((r) => (
              <tr key={r}>
                {values.slice(r * columns, (r + 1) * columns).map((value, s) => {
                  const i = r * columns + s;
                  const colour = colourOf(value, scale, props.net.colours);
                  const style = { background: `rgb(${colour.join(",")})`, color: inkOn(colour) };
                  return (
                    <td
                      key={s}
                      style={padding[i] ? undefined : style}
                      class={padding[i] ? "padding" : marked[i] ? "marked" : ""}
                      title={padding[i] ? "padding" : exact(value)}
                    >
                      {padding[i] ? "pad" : short(value, 3)}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </figure>
  );
}

const FEW = 12;

function TermTable(props: {
  told: Forwards;
  terms: Terms;
  shapeOf: (name: string) => number[];
  onGo: (layer: string, cell: number) => void;
}) {
  const { told, terms, shapeOf, onGo } = props;
  const order = terms.index.map((_, i) => i).sort((a, b) => size(terms, told, b) - size(terms, told, a));
  const { rows, button } = useFew(order, FEW);
  const sources = told.sources ?? [];
  const factor = told.form === "sum" ? "factor" : told.form === "maximum" ? "switch" : "derivative";
  return (
    <div class="table" tabIndex={0} role="group" aria-label="Terms, the largest first">
      <table data-role="terms">
        <thead>
          <tr>
            <th scope="col">{sources.length === 1 ? `from ${sources[0]}` : "from"}</th>
            <th scope="col" class="number">
              x
            </th>
            <th scope="col" class="number">
              {factor}
            </th>
            {told.form === "sum" && (
              <th scope="col" class="number">
                product
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {rows.map((i) => {
            const source = sources[terms.source[i]];
            return (
              <tr key={i} data-term={i}>
                <td>
                  <CellLink
                    layer={source}
                    cell={terms.index[i]}
                    shape={shapeOf(source)}
                    isNamed={sources.length > 1}
                    onGo={onGo}
                  />
                </td>
                <td class="number">{exact(terms.x[i])}</td>
                <td class="number">{exact(terms.factor[i])}</td>
                {told.form === "sum" && (
                  <td class="number" title={exact(terms.product[i])}>
                    {short(terms.product[i], 7)}
                  </td>
                )}
              </tr>
            );
          })}
        </tbody>
      </table>
      {button}
    </div>
  );
}

function size(terms: Terms, told: Forwards, i: number): number {
  return told.form === "sum"
    ? Math.abs(terms.product[i])
    : Math.abs(terms.factor[i]) * 1e6 + Math.abs(terms.x[i]);
}
