"""The style sheet of a page: light and dark, from 400 to 2560 pixels, pictures enlarged without a script."""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """
:root { color-scheme: light dark; --ink: #181a1f; --soft: #575d68; --line: #d9dce1; --paper: #fff;
  --raised: #f5f6f8;
  --link: #0b57b0; --good: #0a6b45; --bad: #b3261e; --open: #7a5200; --veil: #fffffff7; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8ec; --soft: #a4aab6; --line: #363a43; --paper: #15171b; --raised: #1d2026;
    --link: #8ab8ff;
    --good: #6fd6a5; --bad: #ff9d94; --open: #f0c368; --veil: #0d0f12fa; }
  .panel img { filter: brightness(.92); }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.55; overflow-wrap: break-word;
  font-family: system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
a { color: var(--link); }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.page { max-width: 120rem; margin: 0 auto; padding: clamp(1rem, 3vw, 3rem) clamp(1rem, 4vw, 3rem); }
h1 { margin: 0 0 1.5rem; font-size: clamp(1.5rem, 3.5vw, 2.2rem); line-height: 1.2; letter-spacing: -.015em; }
h2 { margin: 0 0 .75rem; font-size: 1.3rem; line-height: 1.3; }
.heading { margin: 1rem 0 .5rem; font-weight: 600; }
nav ol { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: 0 0 1.5rem; padding: 0; list-style: none;
  font-size: .95rem; }
nav a { display: inline-block; padding: .15rem 0; text-decoration: none; }
nav a:hover { text-decoration: underline; }
section { padding: 1.75rem 0; border-top: 1px solid var(--line); scroll-margin-top: .5rem; }
p { max-width: 46rem; margin: 0 0 1rem; }
.verdict { padding: .6rem .9rem; border-left: .3rem solid; border-radius: .3rem; background: var(--raised);
  font-weight: 600; max-width: 60rem; }
.good { color: var(--good); } .bad { color: var(--bad); } .open { color: var(--open); }
.group { margin: 1.25rem 0; }
.panels { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 14rem), 1fr)); }
.panels.four { grid-template-columns: repeat(2, 1fr); }
@media (min-width: 60rem) { .panels.four { grid-template-columns: repeat(4, 1fr); } }
.many { display: grid; gap: 0 2rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 32rem), 1fr)); }
.panels.one { display: block; } .panels.one .panel { max-width: min(100%, 80rem); width: fit-content; }
.panels.small { grid-template-columns: repeat(auto-fill, minmax(min(45%, 7rem), 1fr)); max-width: 80rem; }
.panels.row { grid-template-columns: repeat(auto-fit, minmax(min(45%, 9rem), 1fr)); max-width: 80rem; }
.row .panel img { object-fit: cover; }
figure { margin: 0; min-width: 0; }
.panel img { display: block; max-width: 100%; height: auto; border-radius: .3rem; border: 1px solid var(--line);
  background: #fff; }
.panels:not(.one) .panel img { width: 100%; }
figcaption, .caption { margin-top: .4rem; color: var(--soft); font-size: .9rem; max-width: 60rem; }
.caption { display: block; }
.zoom { display: block; cursor: zoom-in; } .close { display: none; }
.panel:target { position: fixed; inset: 0; z-index: 9; display: grid; grid-template-rows: 1fr auto auto;
  gap: .5rem;
  place-items: center; width: auto; max-width: none; margin: 0; padding: 1rem; background: var(--veil); }
.panels .panel:target { max-width: none; width: auto; }
.panel:target .zoom { display: grid; place-items: center; width: 100%; height: 100%; min-height: 0;
  cursor: default; }
.panels .panel:target img { width: 100%; height: 100%; max-height: 86vh; object-fit: contain; border: 0;
  filter: none;
  background: none; }
.panel:target .close { display: inline-block; padding: .4rem 1.2rem; border-radius: 2rem;
  background: var(--ink);
  color: var(--paper); text-decoration: none; }
.table { overflow-x: auto; margin: 1.25rem 0; }
table { border-collapse: collapse; font-size: .95rem; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem 1.5rem .4rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; border-bottom-width: 2px; }
td.good, td.bad { white-space: nowrap; }
.number { text-align: right; white-space: nowrap; }
.wide { font-size: .8rem; }
.wide th, .wide td { padding-right: .7rem; }
tr > :last-child { padding-right: 0; }
@media (min-width: 75rem) {
  .beside { display: grid; grid-template-columns: minmax(0, 1fr) fit-content(34rem); gap: 2.5rem;
    align-items: start; }
}
@media (min-width: 100rem) {
  .page:has(nav) { display: grid; grid-template-columns: 15rem minmax(0, 1fr); column-gap: 3rem; }
  .page:has(nav) > header { grid-column: 1 / -1; }
  nav { position: sticky; top: 1.5rem; align-self: start; max-height: 96vh; overflow-y: auto;
    padding-top: 1.75rem; }
  nav ol { display: block; } nav a { display: block; }
}
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
"""
