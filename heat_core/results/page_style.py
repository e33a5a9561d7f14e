"""The style of a page that needs nothing else: light, dark, narrow, and on A4."""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #11161c; --quiet: #55606c; --rule: #d5dae0; --wash: #f3f5f7;
  --link: #005a96; --doubt: #a33c00;
  --ID: #0072B2; --near: #D55E00; --mid: #CC79A7; --far: #009E73;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #11161c; --ink: #e8ecf0; --quiet: #a5b0bb; --rule: #38424d; --wash: #1a2129;
    --link: #7cc4f5; --doubt: #ffa36b;
    --ID: #56B4E9; --near: #F08A3C; --mid: #E5A4C8; --far: #2CC295;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2rem 1rem 3rem; max-width: 54rem;
  background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  overflow-wrap: break-word;
}
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.2rem; margin: 2.25rem 0 .6rem; padding-top: .9rem;
     border-top: 1px solid var(--rule); }
h3 { font-size: .95rem; margin: 0 0 .25rem; }
.apart { margin-top: 1.25rem; }
p { margin: .5rem 0; }
a { color: var(--link); overflow-wrap: anywhere; }
.quiet { color: var(--quiet); font-size: .9rem; }
.kicker { color: var(--quiet); margin: 0 0 .25rem; }
.decision { font-size: 1.2rem; line-height: 1.45; margin: .5rem 0; }
.doubt { color: var(--doubt); }
dl { display: grid; grid-template-columns: 9rem 1fr; gap: .4rem 1rem; margin: 0; }
dt { color: var(--quiet); }
dd { margin: 0; }
li { margin: .35rem 0; }
ul { padding-left: 1.2rem; margin: 0; }
.panels { display: grid; gap: 1.25rem; align-items: end;
          grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); }
.blocks { columns: 15rem 3; column-gap: 1.75rem; }
.blocks > section { break-inside: avoid; padding-bottom: 1.1rem; }
figure { margin: 0; max-width: 30rem; }
figcaption { font-size: .9rem; }
svg { display: block; width: 100%; height: auto; margin-top: .35rem; }
svg text { font-size: 12px; fill: var(--quiet); font-family: inherit; }
svg .strong { fill: var(--ink); }
.axis { stroke: var(--quiet); }
.grid { stroke: var(--rule); }
.threshold { stroke: var(--ink); stroke-width: 1.5; }
.band { fill: var(--ink); opacity: .25; }
.bars { fill: var(--quiet); fill-opacity: .35; stroke: var(--quiet); stroke-width: 1.5; }
.bars.group-ID { fill: var(--ID); stroke: var(--ID); }
.bars.group-near { fill: var(--near); stroke: var(--near); }
.bars.group-mid { fill: var(--mid); stroke: var(--mid); }
.bars.group-far { fill: var(--far); stroke: var(--far); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem;
        font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--quiet); padding-bottom: .4rem; }
th, td { text-align: left; vertical-align: top; font-weight: normal;
         padding: .35rem .75rem .35rem 0; border-bottom: 1px solid var(--rule); }
th:last-child, td:last-child { padding-right: 0; }
tbody tr:last-child > * { border-bottom: 0; }
thead th { color: var(--quiet); vertical-align: bottom; }
.number { text-align: right; }
td.number { white-space: nowrap; }
.within { display: block; color: var(--quiet); font-size: .85em; }
th[scope=row] { overflow-wrap: anywhere; }
th[scope=row]:has(.within) { min-width: 6.5rem; }
.pairs { table-layout: fixed; }
.pairs td { overflow-wrap: anywhere; }
.origin .pairs th { width: 36%; }
.blocks th { color: var(--quiet); }
.blocks td { text-align: right; }
.blocks th, .blocks td { padding-top: .15rem; padding-bottom: .15rem; }
code { font-family: ui-monospace, "SFMono-Regular", Menlo, Consolas, monospace; font-size: .85em;
       overflow-wrap: anywhere; }
footer { margin-top: 2.5rem; }
@media (max-width: 34rem) {
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .6rem; }
  .wide table, .origin table { font-size: .8rem; }
  .wide th, .wide td { padding-right: .4rem; }
}
@page { size: A4; margin: 15mm; }
@media print {
  :root { color-scheme: light; font-size: 9pt; }
  body { padding: 0; max-width: none; }
  h2 { margin-top: 1.4rem; }
  h2, h3 { break-after: avoid; }
  .panels { grid-template-columns: 1fr 1fr; }
  .blocks { columns: 3; }
  .wide { overflow: visible; }
  thead { display: table-header-group; }
  figure, .wide, tr, li, dt, dd { break-inside: avoid; }
  .quiet { break-after: avoid; }
  p { orphans: 3; widows: 3; }
}
"""
