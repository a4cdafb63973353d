/** The class model that grows with its score. */

import { useEffect, useRef, useState } from "preact/hooks";
import { follow } from "../api";
import { percent, short } from "../numbers";
import type { ToolProps } from "./Tools";

interface Step {
  step: number;
  of: number;
  scores: number[];
  probability: number;
  picture: string;
  shown: [number, number] | null;
}

export function Model({ target, className }: ToolProps) {
  const [step, setStep] = useState<Step | null>(null);
  const [refusal, setRefusal] = useState("");
  const [isRunning, setRunning] = useState(false);
  const end = useRef<() => void>(() => {});
  const begin = () => {
    end.current();
    setStep(null);
    setRefusal("");
    setRunning(true);
    end.current = follow<Step>("/model", { target }, setStep, (told) => {
      setRefusal(told);
      setRunning(false);
    });
  };
  const stop = () => {
    end.current();
    setRunning(false);
  };
  useEffect(() => {
    stop();
    setStep(null);
    return stop;
  }, [target]);
  return (
    <div>
      <p>
        Gradient ascent on the score of {className} minus λ‖I‖², from the zero image, with the weights fixed:
        the paper's equation 1.
      </p>
      <p class="buttons">
        <button type="button" onClick={begin} disabled={isRunning}>
          {step ? "Again" : "Grow"}
        </button>
        <button type="button" onClick={stop} disabled={!isRunning}>
          Stop
        </button>
      </p>
      {refusal && <p class="bad">{refusal}</p>}
      {step && (
        <figure class="live">
          <img
            class="channel"
            src={step.picture}
            alt={`class model of ${className} after ${step.step} steps`}
          />
          <Curve scores={step.scores} of={step.of} />
          <figcaption>
            step {step.step} of {step.of}; score {short(step.scores[step.scores.length - 1], 5)}, probability{" "}
            {percent(step.probability)}
            {step.shown && (
              <>
                ; black is pixel value {short(step.shown[0], 3)}, white {short(step.shown[1], 3)}
              </>
            )}
          </figcaption>
        </figure>
      )}
    </div>
  );
}

const WIDTH = 320;
const HEIGHT = 140;
const LEFT = 48;
const BOTTOM = 32;

function Curve({ scores, of }: { scores: number[]; of: number }) {
  const low = Math.min(...scores);
  const high = Math.max(...scores, low + 1e-9);
  const x = (k: number) => LEFT + ((WIDTH - LEFT - 8) * k) / of;
  const y = (s: number) => 8 + (HEIGHT - BOTTOM - 8) * (1 - (s - low) / (high - low));
  const path = scores.map((s, k) => `${k ? "L" : "M"}${x(k).toFixed(1)} ${y(s).toFixed(1)}`).join("");
  return (
    <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} class="curve" role="img" aria-label="score after each step">
      <title>score after each step</title>
      <path d={`M${LEFT} 8V${HEIGHT - BOTTOM}H${WIDTH - 8}`} class="axis" />
      <path d={path} class="line" />
      <text x={LEFT - 4} y={14} text-anchor="end">
        {short(high, 3)}
      </text>
      <text x={LEFT - 4} y={HEIGHT - BOTTOM} text-anchor="end">
        {short(low, 3)}
      </text>
      <text x={LEFT} y={HEIGHT - 18}>
        0
      </text>
      <text x={WIDTH - 8} y={HEIGHT - 18} text-anchor="end">
        {of}
      </text>
      <text x={(WIDTH + LEFT) / 2} y={HEIGHT - 4} text-anchor="middle">
        step
      </text>
      <text
        x={12}
        y={(HEIGHT - BOTTOM) / 2}
        text-anchor="middle"
        transform={`rotate(-90 12 ${(HEIGHT - BOTTOM) / 2})`}
      >
        score
      </text>
    </svg>
  );
}
