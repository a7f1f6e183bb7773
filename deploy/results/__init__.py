"""What people read of a load test: in a terminal, a pull request, CI, a browser.

    wording          units and names, as k6 writes them
    summary          the end-of-test summary, in k6's layout
    compared         a comparison as table, Markdown and JUnit XML
    report           one HTML file; page.css and page.js go into it, with Plotly
      charts         what it draws
      tables         its tables
        elements     what they are made of

Pure: what `query` has read goes in, text comes out.
"""
