/** Numbers as people read them, without losing a bit where that matters. */

/** The shortest text that reads back as the same float32, as NumPy prints it. */
export function exact(value: number | null | undefined): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "none";
  if (!Number.isFinite(value)) return value > 0 ? "infinity" : "−infinity";
  if (Object.is(value, 0) || value === 0) return "0";
  // what is no float32 is a sum or a product: all of its digits
  if (Math.fround(value) !== value) return tidy(String(value));
  for (let digits = 1; digits <= 9; digits++) {
    const text = value.toPrecision(digits);
    if (Math.fround(Number(text)) === value) return tidy(String(Number(text)));
  }
  return tidy(String(value));
}

/** Some digits of a number. */
export function short(value: number | null | undefined, digits = 4): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "none";
  if (value === 0) return "0";
  return tidy(String(Number(value.toPrecision(digits))));
}

function tidy(text: string): string {
  return text.replace("-", "−").replace("e−", "e−");
}

/** A number of a text that `exact` wrote. */
export function parse(text: string): number {
  return Number(text.replaceAll("−", "-"));
}

export function percent(p: number): string {
  return p >= 0.0005 ? `${(100 * p).toFixed(1)} %` : p > 0 ? "< 0.1 %" : "0 %";
}

/** The float32 numbers of bytes in base64. */
export function decode(text: string): Float32Array {
  const raw = atob(text);
  const bytes = Uint8Array.from(raw, (letter) => letter.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}
