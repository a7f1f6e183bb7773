// Draws the charts of the page in the colours of page.css, anew when those change.
"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  // Plotly reads names as markup.
  const literal = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  const traces = (chart) => chart.traces.map((one) => ({
    type: "scatter",
    mode: "lines",
    name: literal(one.name),
    x: chart.x,
    y: one.y,
    line: { color: colour(one.colour), width: 1.6, shape: chart.steps ? "hv" : "linear" },
    hovertemplate: "%{y:.4~g} " + chart.unit,
    ...(chart.stacked ? { stackgroup: "all", line: { color: colour(one.colour), width: 0.6 } } : {}),
    // A run of one interval is a point.
    ...(chart.x.length === 1 ? { mode: "markers", marker: { color: colour(one.colour), size: 8 } } : {}),
  }));

  const around = (x) => [-5000, 5000].map((ms) => new Date(Date.parse(x) + ms).toISOString());

  const layout = (chart, size) => ({
    autosize: !size,
    ...(size || {}),
    margin: { l: 52, r: 10, t: 6, b: 34 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: colour("faint"), size: 12, family: getComputedStyle(document.body).fontFamily },
    hovermode: "x unified",
    hoverlabel: { bgcolor: colour("card"), bordercolor: colour("line"), font: { color: colour("ink") } },
    showlegend: chart.traces.length > 1,
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
    xaxis: { type: "date", gridcolor: colour("line"), linecolor: colour("line"), nticks: size ? 4 : 7, tickangle: 0,
      ...(chart.x.length === 1 ? { range: around(chart.x[0]) } : {}) },
    yaxis: { rangemode: "tozero", gridcolor: colour("line"), zerolinecolor: colour("line"), automargin: true, nticks: 6 },
  });

  const draw = (size) => Promise.all(charts.filter((one) => one.traces.length).map((chart) =>
    Plotly.react(document.getElementById(`plot-${chart.key}`), traces(chart), layout(chart, size), {
      displayModeBar: false, responsive: true,
    })));

  dark.addEventListener("change", () => draw());
  addEventListener("beforeprint", () => draw({ width: 330, height: 230 }));
  addEventListener("afterprint", () => draw());
  draw().then(() => { document.documentElement.dataset.drawn = "yes"; });
})();
