/** Saliency of the ten crops, averaged one by one. */

import { useEffect, useMemo, useState } from "preact/hooks";
import { follow } from "../api";
import { Bar, Channel } from "../Canvas";
import { rangeOf } from "../colours";
import { decode, short } from "../numbers";
import { RULES, type Rule } from "../state";
import type { ToolProps } from "./Tools";

interface Step {
  done: number;
  of: number;
  score: number;
  size: [number, number];
  map: string;
}

export function Saliency({ id, net, target, className, drawn }: ToolProps) {
  const [rule, setRule] = useState<Rule>("gradient");
  const [step, setStep] = useState<Step | null>(null);
  const [refusal, setRefusal] = useState("");
  useEffect(() => {
    setStep(null);
    setRefusal("");
    return follow<Step>(`/crops/${id}`, { target, rule, drawn }, setStep, setRefusal);
  }, [id, target, rule, drawn]);
  const values = useMemo(() => (step ? decode(step.map) : null), [step]);
  return (
    <div>
      <p>
        The largest |d score / d pixel| of the three channels for {className}: the mean over the ten crops,
        each put back at its place, as it grows.
      </p>
      <fieldset>
        <legend>Rule</legend>
        {RULES.map((each) => (
          <label key={each}>
            <input type="radio" name="rule" checked={rule === each} onChange={() => setRule(each)} /> {each}
          </label>
        ))}
      </fieldset>
      {refusal && <p class="bad">{refusal}</p>}
      {step && values && (
        <figure class="live" style={{ width: `min(100%, ${(60 * step.size[1]) / step.size[0]}vh)` }}>
          <Channel
            {...{ values, colours: net.colours, channel: 0 }}
            layout={{ channels: 1, rows: step.size[0], columns: step.size[1], count: values.length }}
            scale={{ name: "heat", low: 0, high: rangeOf(values)[1] || 1 }}
            label={`saliency map of ${className}, mean of ${step.done} crops`}
          />
          <Bar
            scale={{ name: "heat", low: 0, high: rangeOf(values)[1] || 1 }}
            colours={net.colours}
            unit="|d score / d input|, in score per unit of the input"
          />
          <figcaption>
            <progress max={step.of} value={step.done} aria-label="crops" /> {step.done} of {step.of} crops;
            mean score {short(step.score, 5)}
          </figcaption>
        </figure>
      )}
    </div>
  );
}
