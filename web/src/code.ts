/** What the page shows, as lines of Python and as a command. */

import type { State } from "./state";

interface Shown {
  net: string;
  image: string;
}

const quote = (text: string): string => JSON.stringify(text);

/** Lines that compute the array that the map shows, and its chosen value. */
export function asPython(state: State, shown: Shown, shape: number[], place: number[]): string {
  const lines = ["import numpy as np", "import minicnn", "", `net = minicnn.load(${quote(shown.net)})`];
  lines.push(`x, views = net.preprocess.batch(${quote(shown.image)}, "one")`);
  if (state.drawn) {
    lines.push(
      "from minicnn.evaluate.randomise import redraw_parameters, replace_parameters",
      `drawn = tuple(f"{name}." for name in ${quote(state.drawn)}.split(","))`,
      "parameters = {n: a for n, a in redraw_parameters(net).items() if n.startswith(drawn)}",
      "net = replace_parameters(net, parameters)",
    );
  }
  if (state.mode === "forwards" || state.layer === "") {
    const whole = state.layer === "input" ? "x" : `net.forward(x, upto=${quote(state.layer)})`;
    lines.push(`y = ${whole}  # (1, ${shape.join(", ")})`);
    if (place.length) lines.push(`print(y[0, ${place.join(", ")}])`);
    return lines.join("\n");
  }
  lines.push('for rule in ("gradient", "deconvnet", "guided"):');
  lines.push(`    print(rule, np.abs(${gradientOf(state.start)}).max())`);
  return lines.join("\n");
}

function gradientOf(start: string): string {
  const [kind, rest] = [start.slice(0, start.indexOf(":")), start.slice(start.indexOf(":") + 1)];
  if (kind === "probability") return `net.input_gradient(x, ${rest}, rule, of="probability")`;
  if (kind === "difference") {
    const [a, b] = rest.split("-");
    return `net.input_gradient(x, lambda y: np.eye(y.shape[1], dtype=y.dtype)[[${a}]] - np.eye(y.shape[1], dtype=y.dtype)[[${b}]], rule)`;
  }
  if (kind === "unit") {
    const at = rest.lastIndexOf("@");
    const layer = quote(rest.slice(0, at));
    const one = `np.eye(1, y.size, ${rest.slice(at + 1)}).reshape(y.shape)`;
    return `net.input_gradient(x, lambda y: ${one}, rule, layer=${layer})`;
  }
  return `net.input_gradient(x, ${rest}, rule)`;
}

/** The command that shows the same. */
export function asCommand(state: State, shown: Shown, hash: string): string {
  const classOf = /^(?:score|probability):(\d+)$/.exec(state.start)?.[1];
  if (state.tool === "saliency" && classOf) {
    return `minicnn saliency ${shown.image} --net ${shown.net} --target ${classOf}`;
  }
  if (state.tool === "cut" && classOf) {
    return `minicnn localise ${shown.image} --net ${shown.net} --target ${classOf} --method paper`;
  }
  if (state.tool === "model" && classOf) return `minicnn class-model ${classOf} --net ${shown.net}`;
  if (state.tool === "walk" && classOf) {
    return `minicnn validity ${shown.image} --net ${shown.net} --target ${classOf}`;
  }
  return `minicnn explore ${shown.net} ${shown.image} --export page.html --view '${hash.replace(/^#/, "")}'`;
}
