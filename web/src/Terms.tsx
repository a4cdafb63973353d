/** What the tables of terms share: the largest terms first, and a link to the value that a term comes from. */

import { useState } from "preact/hooks";
import { writePlace } from "./shapes";

/** The rows that are shown of an order: the first `few`, until the button, which it returns too, shows all. */
export function useFew(order: number[], few: number) {
  const [isWhole, setWhole] = useState(false);
  const button = order.length > few && (
    <button type="button" onClick={() => setWhole(!isWhole)}>
      {isWhole ? "the largest alone" : `all ${order.length} terms`}
    </button>
  );
  return { rows: isWhole ? order : order.slice(0, few), button };
}

/** The place of a value, by which one goes there; nothing leads into the padding. */
export function CellLink(props: {
  layer: string;
  cell: number;
  shape: number[];
  isNamed: boolean;
  onGo: (layer: string, cell: number) => void;
}) {
  const { layer, cell } = props;
  const place = writePlace(cell, props.shape);
  if (cell < 0) return <>{place}</>;
  return (
    <button type="button" class="link" onClick={() => props.onGo(layer, cell)}>
      {props.isNamed ? `${layer} ${place}` : place}
    </button>
  );
}
