"""What commands print for people."""

from __future__ import annotations

from typing import Any

__all__ = ["class_models", "conversion", "detections", "predictions", "reconstructions", "rules", "saliencies"]


def predictions(found: list[dict[str, Any]]) -> str:
    """Return one block an image: probability, score and name of each class."""
    lines = []
    for record in found:
        lines.append(f"{record['image']}  ({record['net']})")
        lines += [f"  {p['probability']:7.2%}  {p['score']:8.3f}  {_name(p)}" for p in record["predictions"]]
    return "\n".join(lines)


def saliencies(found: list[dict[str, Any]]) -> str:
    """Return one line an image: class, score, probability and the figure's path."""
    return "\n".join(
        f"{r['image']}: {_name(r)}, score {r['score']:.3f}, probability {r['probability']:.2%} -> {r['figure']}"
        for r in found
    )


def class_models(found: list[dict[str, Any]]) -> str:
    """Return one line a class or unit: value, probability and the figure's path; then its top stimuli."""
    lines = []
    for r in found:
        known = "" if r["probability"] is None else f", probability {r['probability']:.2%}"
        unit = f"{r['layer'] or 'scores'}, unit {r['unit']}: value" if "unit" in r else f"{_name(r)}: score"
        lines.append(f"{unit} {r['score']:.4g}{known}, {r['stopped']} -> {r['figure']}")
        shown = r.get("stimuli", {"values": [], "images": []})
        lines += [f"  {v:9.3f}  {image}" for v, image in zip(shown["values"], shown["images"], strict=True)]
    return "\n".join(lines)


def detections(found: list[dict[str, Any]]) -> str:
    """Return one line a detection: class, probability, box and the figure's path."""
    return "\n".join(
        f"{record['image']}: {_name(d)}, probability {d['probability']:.2%}, box {d['box']} -> {d['figure']}"
        for record in found
        for d in record["detections"]
    )


def reconstructions(found: dict[str, Any]) -> str:
    """Return the activation in each image, and the figure's path."""
    lines = [f"{found['layer']}, channel {found['channel']}, rule {found['rule']} -> {found['figure']}"]
    lines += [f"  {r['value']:9.3f}  {r['image']}  position {r['position']}" for r in found["activations"]]
    return "\n".join(lines)


def rules(found: list[dict[str, Any]]) -> str:
    """Return one block an image: how far deconvnet and guided are from the gradient at each kind of layer."""
    lines = []
    for record in found:
        lines += [f"{record['image']} -> {record['figure']}", f"  {'':<22}{'deconvnet':>10}{'guided':>10}"]
        for kind in record["kinds"]:
            apart = (
                "not defined" if kind[rule] is None else f"{kind[rule]:.3g}" for rule in ("deconvnet", "guided")
            )
            lines.append(f"  {kind['count']:>3} {kind['kind']:<18}" + "".join(f"{a:>10}" for a in apart))
    return "\n".join(lines)


def conversion(found: dict[str, Any]) -> str:
    """Return what was written, and one line a check."""
    lines = [f"{found['source']} -> {found['destination']}"]
    for row in found["checks"]:
        result = row["skipped"] or f"largest difference {row['difference']:.3g} of {row['scale']:.3g}"
        lines.append(f"  {row['file']} in {row['peer']}, {row['what']}: {result}")
    return "\n".join(lines)


def _name(record: dict[str, Any]) -> str:
    return f"class {record['target']}" if record["label"] is None else record["label"]
