/** The picture as the network takes it, the receptive field on it, and the classes that it sees. */

import type { Net, PassRecord } from "./api";
import { Box } from "./MapView";
import { percent, short } from "./numbers";

interface Props {
  net: Net;
  run: PassRecord;
  start: string;
  field: [number, number, number, number] | null;
  onStart: (start: string) => void;
}

export function Input({ net, run, start, field, onStart }: Props) {
  const [, rows, columns] = net.input_shape;
  return (
    <section class="input" aria-label="The picture">
      {run.picture && (
        <figure>
          <div class="frame" style={{ aspectRatio: `${columns} / ${rows}` }}>
            <img class="channel" src={run.picture} alt="what the network takes in" />
            {field && (
              <Box
                kind="field"
                top={field[1]}
                left={field[0]}
                rows={field[3] - field[1]}
                columns={field[2] - field[0]}
                layout={{ rows, columns }}
              />
            )}
          </div>
          <figcaption>
            {columns} × {rows}, as the network takes it
            {field &&
              `; outlined: all that the chosen value can depend on, ${field[2] - field[0]} × ${field[3] - field[1]}`}
          </figcaption>
        </figure>
      )}
      {run.predictions.length > 0 && (
        <div class="table" tabIndex={0} role="group" aria-label="Classes">
          <table class="classes">
            <thead>
              <tr>
                <th scope="col">class</th>
                <th scope="col" class="number">
                  probability
                </th>
                <th scope="col" class="number">
                  score
                </th>
              </tr>
            </thead>
            <tbody>
              {run.predictions.map((each) => (
                <tr key={each.target}>
                  <td>
                    <button
                      type="button"
                      class="link"
                      aria-pressed={start === `score:${each.target}`}
                      title="start the way back at its score"
                      onClick={() => onStart(`score:${each.target}`)}
                    >
                      {each.label ?? each.target}
                    </button>
                  </td>
                  <td class="number">{percent(each.probability)}</td>
                  <td class="number">{short(each.score, 5)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
