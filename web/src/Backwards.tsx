/** A cell backwards: its gradient by the three rules, the terms that add up to it, and where it goes on. */

import type { Arriving, Backwards, ByRule } from "./api";
import { exact, short } from "./numbers";
import { RULES } from "./state";
import { CellLink, useFew } from "./Terms";

interface Props {
  told: Backwards;
  start: string;
  shapeOf: (name: string) => number[];
  onGo: (layer: string, cell: number) => void;
}

export function BackwardsPanel({ told, start, shapeOf, onGo }: Props) {
  const where = `${told.layer} [${told.place.join(", ")}]`;
  const rules = RULES.filter((rule) => rule in told.dy);
  const sends = told.sends;
  const refusals = Object.entries(told.refusals);
  return (
    <section class="panel-cell" aria-label={`${where} backwards`}>
      <h3>
        Backwards: d {start} / d {where}
      </h3>
      {refusals.length > 0 && <p class="soft">{refusals[0][1]}</p>}
      {rules.length === 0 && refusals.length < RULES.length && (
        <p>The start does not depend on this value: it lies behind the start, or beside its way.</p>
      )}
      {rules.length > 0 && (
        <dl class="rules">
          {rules.map((rule) => (
            <div key={rule} class={rule}>
              <dt>{rule}</dt>
              <dd>
                <output data-role={`dy-${rule}`}>{exact(told.dy[rule])}</output>
              </dd>
              {rule in told.sum && <dd class="soft">terms add up to {short(told.sum[rule], 8)}</dd>}
              {isOff(told, rule) && <dd class="bad">✗ that is not its gradient</dd>}
            </div>
          ))}
        </dl>
      )}
      {told.arrives.map((each, i) => (
        <ArrivingTable key={`${each.layer}${i}`} {...{ each, shapeOf, onGo }} />
      ))}
      {told.arrives.length === 0 && rules.length > 0 && (
        <p>It is where the start is: nothing lies behind it.</p>
      )}
      {sends && rules.length > 0 && (
        <Terms
          title={`goes on through ${sends.kind}`}
          words={sends.words}
          names={sends.index.map((index, i) => [sends.sources[sends.source[i]], index])}
          factor={sends.factor}
          columns={sends.product}
          heads="sent"
          beside={sends.whole}
          {...{ shapeOf, onGo }}
        />
      )}
    </section>
  );
}

/** Whether the terms add up to something else, by more than rounding can do. */
function isOff(told: Backwards, rule: string): boolean {
  if (!(rule in told.sum)) return false;
  const products = told.arrives.flatMap((each) => each.product[rule] ?? []);
  const size = products.reduce((sum, p) => sum + Math.abs(p), Math.abs(told.dy[rule]));
  return Math.abs(told.sum[rule] - told.dy[rule]) > 1e-4 * size;
}

function ArrivingTable(props: {
  each: Arriving;
  shapeOf: (name: string) => number[];
  onGo: (layer: string, cell: number) => void;
}) {
  const { each } = props;
  return (
    <Terms
      title={`comes from ${each.layer} (${each.kind})`}
      words={each.words}
      names={each.index.map((index) => [each.layer, index])}
      factor={each.factor}
      columns={each.product}
      heads="product"
      beside={each.dy}
      shapeOf={props.shapeOf}
      onGo={props.onGo}
    />
  );
}

const FEW = 8;

function Terms(props: {
  title: string;
  words: string;
  names: [string, number][];
  factor: number[];
  columns: ByRule<number[]>;
  heads: string;
  beside: ByRule<(number | null)[]>;
  shapeOf: (name: string) => number[];
  onGo: (layer: string, cell: number) => void;
}) {
  const { names, factor, columns, beside, shapeOf, onGo } = props;
  const rules = RULES.filter((rule) => rule in columns);
  const most = names.map((_, i) => Math.max(...rules.map((rule) => Math.abs(columns[rule][i]))));
  const order = names.map((_, i) => i).sort((a, b) => most[b] - most[a]);
  const { rows, button } = useFew(order, FEW);
  const second = props.heads === "sent" ? "in all" : "of dy";
  const sources = [...new Set(names.map(([name]) => name))];
  return (
    <div>
      <h4>{props.title}</h4>
      <p class="words">{props.words}</p>
      {names.length > 0 && (
        <div class="table" tabIndex={0} role="group" aria-label={`${props.title}, the largest terms first`}>
          <table data-role={props.heads}>
            <thead>
              <tr>
                <th scope="col">{sources.length === 1 ? sources[0] : "value"}</th>
                <th scope="col" class="number">
                  factor
                </th>
                {rules.map((rule) => (
                  <th key={rule} scope="col" class={`number ${rule}`}>
                    {rule}
                    <br />
                    <span class="soft">
                      {props.heads}, {second}
                    </span>
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map((i) => (
                <tr key={i}>
                  <td>
                    <CellLink
                      layer={names[i][0]}
                      cell={names[i][1]}
                      shape={shapeOf(names[i][0])}
                      isNamed={sources.length > 1}
                      onGo={onGo}
                    />
                  </td>
                  <td class="number">{exact(factor[i])}</td>
                  {rules.map((rule) => (
                    <td key={rule} class="number" title={exact(columns[rule][i])}>
                      {short(columns[rule][i], 6)}
                      <br />
                      <span class="soft" data-role={`${props.heads}-${rule}`}>
                        {exact(beside[rule]?.[i])}
                      </span>
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
          {button}
        </div>
      )}
    </div>
  );
}
