/**
 * The page's style sheet. Two series colours that keep apart for every kind of colour vision (a blue and an orange of
 * different lightness); everything else is ink on paper.
 */
export const style = `
:root {
  color-scheme: light dark;
  --page: #fcfcfa; --panel: #ffffff; --ink: #1b1f24; --soft: #5d6672; --line: #e3e4df;
  --tuned: #0b62b8; --untuned: #b3590a; --right: #1a7f4b; --wrong: #b3261e;
  --forced: #fff0c2; --forced-ink: #6b4a00;
  --method-0: #0b62b8; --method-1: #667085; --method-2: #b3590a; --method-3: #8a3b00; --method-4: #1a7f4b; --method-5: #0c5430; --method-6: #9a3fa8; --method-7: #b3261e; --method-8: #7a6a00;
}
:root[data-theme=dark] {
  --page: #14171a; --panel: #1b1f23; --ink: #e8eaed; --soft: #9aa4af; --line: #30363d;
  --tuned: #6cb2ff; --untuned: #f0a35e; --right: #5fd49a; --wrong: #ff8a80;
  --forced: #4a3a10; --forced-ink: #ffdf91;
  --method-0: #6cb2ff; --method-1: #a6afbb; --method-2: #f0a35e; --method-3: #ffc999; --method-4: #5fd49a; --method-5: #b4f0d0; --method-6: #d99ae6; --method-7: #ff8a80; --method-8: #e0cf63;
}
@media (prefers-color-scheme: dark) {
  :root:not([data-theme=light]) {
    --page: #14171a; --panel: #1b1f23; --ink: #e8eaed; --soft: #9aa4af; --line: #30363d;
    --tuned: #6cb2ff; --untuned: #f0a35e; --right: #5fd49a; --wrong: #ff8a80;
    --forced: #4a3a10; --forced-ink: #ffdf91;
    --method-0: #6cb2ff; --method-1: #a6afbb; --method-2: #f0a35e; --method-3: #ffc999; --method-4: #5fd49a; --method-5: #b4f0d0; --method-6: #d99ae6; --method-7: #ff8a80; --method-8: #e0cf63;
  }
}
:root[data-theme=light] { color-scheme: light; } :root[data-theme=dark] { color-scheme: dark; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 40px 24px 96px; }
header { display: flex; flex-wrap: wrap; gap: 4px 24px; align-items: baseline; justify-content: space-between; }
h1 { font-size: 30px; line-height: 1.2; margin: 0; letter-spacing: -0.02em; }
h2 { font-size: 20px; margin: 56px 0 4px; letter-spacing: -0.01em; }
h3 { font-size: 15px; margin: 0 0 8px; } .scroll + h3 { margin-top: 28px; } h3.comparison { font-size: 17px; margin: 32px 0 4px; }
p { margin: 6px 0 14px; max-width: 72ch; } .soft { color: var(--soft); } .small { font-size: 13.5px; }
a { color: inherit; }
button { font: inherit; font-size: 13px; color: var(--soft); background: none; border: 1px solid var(--line); border-radius: 6px; padding: 3px 10px; cursor: pointer; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(230px, 1fr)); gap: 14px; margin: 26px 0 0; }
.card, figure, .trace, details { background: var(--panel); border: 1px solid var(--line); border-radius: 10px; }
.card { padding: 16px 18px; }
.card .figure { font-size: 34px; font-weight: 650; letter-spacing: -0.03em; line-height: 1.15; font-variant-numeric: tabular-nums; }
.card .label { font-size: 13.5px; color: var(--soft); }
.card .detail { font-size: 13.5px; margin-top: 6px; font-variant-numeric: tabular-nums; }
figure { margin: 14px 0 0; padding: 14px 14px 8px; overflow-x: auto; }
figure svg { font-family: inherit; font-size: 12px; display: block; width: 100%; height: auto; max-width: 860px; margin: 0 auto; overflow: visible; }
figcaption { font-size: 13.5px; color: var(--soft); padding: 2px 6px 6px; }
.key { display: inline-flex; align-items: center; gap: 6px; margin-right: 16px; vertical-align: bottom; }
.key::before { content: ""; width: 18px; height: 3px; border-radius: 2px; background: var(--color); }
.scroll { overflow-x: auto; margin: 14px 0 0; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: 13px; }
th, td { padding: 6px 12px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; white-space: nowrap; }
td.text { white-space: normal; } .number { text-align: right; }
.trace { padding: 16px 18px; margin: 14px 0 0; }
.trace .question { margin: 0 0 10px; max-width: none; }
.sides { display: grid; grid-template-columns: 1fr 1fr; gap: 18px; }
@media (max-width: 720px) { .sides { grid-template-columns: 1fr; } figure svg { min-width: 560px; } main { padding: 24px 16px 64px; } }
.side { min-width: 0; }
.side .who { font-size: 13px; color: var(--soft); margin-bottom: 6px; }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.side pre { max-height: 24em; overflow-y: auto; border-left: 3px solid var(--color); padding-left: 12px; }
.side pre + pre { margin-top: 8px; }
mark { background: var(--forced); color: var(--forced-ink); border-radius: 3px; padding: 0 3px; }
.badge { font-weight: 600; overflow-wrap: anywhere; } .right { color: var(--right); } .wrong { color: var(--wrong); }
details { margin: 14px 0 0; padding: 10px 16px; } summary { cursor: pointer; font-weight: 600; }
details[open] summary { margin-bottom: 10px; }
.filters { display: flex; flex-wrap: wrap; gap: 8px 16px; align-items: center; margin: 14px 0; font-size: 14px; color: var(--soft); }
.filters label { display: inline-flex; gap: 6px; align-items: center; }
select, input { font: inherit; font-size: 14px; color: var(--ink); background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: 3px 8px; max-width: 100%; }
.sample { margin: 8px 0 0; } .sample summary { font-weight: 400; font-size: 14px; display: flex; flex-wrap: wrap; gap: 2px 14px; }
.sample .what { flex: 1 1 100%; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.sample[open] .what { display: none; }
.sample pre { border-left: 3px solid var(--line); padding-left: 12px; margin-top: 8px; }
footer { margin-top: 64px; font-size: 13px; color: var(--soft); }
@media print {
  /* Paper does not scroll: what is wider than it would be lost. */
  body { background: none; } main { max-width: none; padding: 0; } .scroll, figure { overflow: visible; }
  table { font-size: 10.5px; } th { font-size: 10px; white-space: normal; vertical-align: bottom; } th, td { padding: 4px 8px 4px 0; }
  h2, h3 { break-after: avoid; } .card, figure, .trace, tr { break-inside: avoid; }
  button, .filters, details:not([open]), .samples:not(:has(details[open])) { display: none; }
}
`;
