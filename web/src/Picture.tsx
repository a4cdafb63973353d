/** Where pictures come from: a file that is chosen, dropped or pasted, the camera, a drawing, what comes along. */

import { useEffect, useRef, useState } from "preact/hooks";
import type { Net } from "./api";
import { isExported } from "./api";

interface Props {
  net: Net;
  onPicture: (picture: Blob) => void;
  onExample: (name: string) => void;
}

export function PictureSource({ net, onPicture, onExample }: Props) {
  const file = useRef<HTMLInputElement>(null);
  const [open, setOpen] = useState<"" | "draw" | "camera">("");
  const [isOver, setOver] = useState(false);

  useEffect(() => {
    const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    const over = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setOver(true);
    };
    const leave = (event: DragEvent) => !event.relatedTarget && setOver(false);
    const drop = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setOver(false);
      const given = event.dataTransfer?.files[0];
      if (given) onPicture(given);
    };
    const paste = (event: ClipboardEvent) => {
      const given = [...(event.clipboardData?.files ?? [])][0];
      if (given) onPicture(given);
    };
    document.addEventListener("dragover", over);
    document.addEventListener("dragleave", leave);
    document.addEventListener("drop", drop);
    document.addEventListener("paste", paste);
    return () => {
      document.removeEventListener("dragover", over);
      document.removeEventListener("dragleave", leave);
      document.removeEventListener("drop", drop);
      document.removeEventListener("paste", paste);
    };
  }, [onPicture]);

  if (isExported()) return null;
  return (
    <div class={isOver ? "source over" : "source"}>
      <div class="buttons">
        <button type="button" onClick={() => file.current?.click()}>
          Choose a picture
        </button>
        <button
          type="button"
          aria-expanded={open === "draw"}
          onClick={() => setOpen(open === "draw" ? "" : "draw")}
        >
          Draw
        </button>
        <button
          type="button"
          aria-expanded={open === "camera"}
          onClick={() => setOpen(open === "camera" ? "" : "camera")}
        >
          Camera
        </button>
        <label>
          <span class="hidden">A picture that comes along</span>
          <select
            value=""
            onChange={(event) => {
              const select = event.target as HTMLSelectElement;
              if (select.value) onExample(select.value);
              select.value = "";
            }}
          >
            <option value="">Examples</option>
            {net.examples.map((name) => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        </label>
      </div>
      <p class="soft hint">or drop one anywhere on this page, or paste it; it stays on this machine</p>
      <input
        ref={file}
        type="file"
        accept="image/*"
        aria-label="Choose a picture"
        class="hidden"
        tabIndex={-1}
        onChange={(event) => {
          const input = event.target as HTMLInputElement;
          if (input.files?.[0]) onPicture(input.files[0]);
          input.value = "";
        }}
      />
      {open === "draw" && <Drawing onPicture={onPicture} />}
      {open === "camera" && <Camera onPicture={onPicture} onEnd={() => setOpen("")} />}
    </div>
  );
}

const SIDE = 280;

/** White on black, as the digits that networks learn from are. */
function Drawing({ onPicture }: { onPicture: (picture: Blob) => void }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const last = useRef<[number, number] | null>(null);
  const timer = useRef(0);
  const clear = () => {
    const context = canvas.current?.getContext("2d");
    if (!context) return;
    context.fillStyle = "#000";
    context.fillRect(0, 0, SIDE, SIDE);
  };
  useEffect(() => {
    clear();
    return () => clearTimeout(timer.current);
  }, []);

  function at(event: PointerEvent): [number, number] {
    const box = (event.target as HTMLElement).getBoundingClientRect();
    return [((event.clientX - box.left) * SIDE) / box.width, ((event.clientY - box.top) * SIDE) / box.height];
  }

  function draw(event: PointerEvent) {
    const context = canvas.current?.getContext("2d");
    if (!context || !last.current) return;
    const [x, y] = at(event);
    context.strokeStyle = "#fff";
    context.lineWidth = 22;
    context.lineCap = "round";
    context.beginPath();
    context.moveTo(...last.current);
    context.lineTo(x, y);
    context.stroke();
    last.current = [x, y];
  }

  function end() {
    if (!last.current) return;
    last.current = null;
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => canvas.current?.toBlob((blob) => blob && onPicture(blob)), 150);
  }

  return (
    <div class="drawing">
      <canvas
        ref={canvas}
        width={SIDE}
        height={SIDE}
        role="img"
        aria-label="Draw here with the mouse or a finger"
        onPointerDown={(event) => {
          (event.target as HTMLElement).setPointerCapture(event.pointerId);
          last.current = at(event);
          draw(event);
        }}
        onPointerMove={draw}
        onPointerUp={end}
        onPointerCancel={end}
      />
      <button type="button" onClick={clear}>
        Clear
      </button>
    </div>
  );
}

function Camera({ onPicture, onEnd }: { onPicture: (picture: Blob) => void; onEnd: () => void }) {
  const video = useRef<HTMLVideoElement>(null);
  const [fault, setFault] = useState("");
  useEffect(() => {
    let stream: MediaStream | null = null;
    let isOver = false;
    const asked = navigator.mediaDevices?.getUserMedia({ video: true });
    if (!asked) setFault("This browser has no camera here.");
    asked?.then(
      (given) => {
        stream = given;
        if (isOver) for (const track of given.getTracks()) track.stop();
        else if (video.current) video.current.srcObject = given;
      },
      () => setFault("There is no camera, or the browser may not use it."),
    );
    return () => {
      isOver = true;
      for (const track of stream?.getTracks() ?? []) track.stop();
    };
  }, []);
  function take() {
    const frame = video.current;
    if (!frame?.videoWidth) return;
    const canvas = document.createElement("canvas");
    canvas.width = frame.videoWidth;
    canvas.height = frame.videoHeight;
    canvas.getContext("2d")?.drawImage(frame, 0, 0);
    canvas.toBlob((blob) => blob && onPicture(blob));
    onEnd();
  }
  if (fault) return <p class="bad">{fault}</p>;
  return (
    <div class="drawing">
      <video ref={video} autoplay playsInline muted aria-label="What the camera sees" />
      <button type="button" onClick={take}>
        Take the picture
      </button>
    </div>
  );
}
