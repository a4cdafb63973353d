/** The paper, live: one tool at a time. */

import type { Net } from "../api";
import { CutTool } from "./Cut";
import { Faults } from "./Faults";
import { Model } from "./Model";
import { Randomise } from "./Randomise";
import { Saliency } from "./Saliency";
import { Walk } from "./Walk";

export interface ToolProps {
  id: string;
  net: Net;
  target: number;
  className: string;
  drawn: string;
  onDrawn: (drawn: string) => void;
}

const TOOLS = [
  ["saliency", "Ten crops", Saliency],
  ["model", "Class model", Model],
  ["cut", "Cut and box", CutTool],
  ["walk", "Walk along the gradient", Walk],
  ["randomise", "Randomise a layer", Randomise],
  ["faults", "Find the bug", Faults],
] as const;

export function Tools(props: ToolProps & { tool: string; onTool: (tool: string) => void }) {
  const chosen = TOOLS.find(([name]) => name === props.tool);
  const Chosen = chosen?.[2];
  return (
    <section class="tools" aria-label="The paper, live">
      <h2>The paper, live</h2>
      <div class="tabs" role="tablist" aria-label="Tools">
        {TOOLS.map(([name, words]) => (
          <button
            key={name}
            type="button"
            role="tab"
            aria-selected={name === props.tool}
            onClick={() => props.onTool(name === props.tool ? "" : name)}
          >
            {words}
          </button>
        ))}
      </div>
      {Chosen && (
        <div class="tool" role="tabpanel" aria-label={chosen[1]}>
          <Chosen {...props} />
        </div>
      )}
    </section>
  );
}
