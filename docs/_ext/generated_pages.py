"""Pages written from the package itself when the site is built, so that they can't disagree with it.

One page for each operation of the specification (docstrings, and source included from its file), the commands with
their help, and the tables of architectures, shipped networks, methods and the paper's open choices.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import textwrap
from importlib import import_module
from pathlib import Path

from minicnn import zoo
from minicnn.explain.methods import METHODS
from minicnn.io import catalogue
from minicnn.kernels import reference
from minicnn.paper import choices

HERE = Path(__file__).parent.parent
# torch's name of an operation where it is not ours
TORCH = {
    "local_response_norm": "torch.nn.functional.local_response_norm",
    "global_avg_pool2d": "torch.nn.functional.adaptive_avg_pool2d",
    "batch_norm2d": "torch.nn.functional.batch_norm",
    "constant_pad2d": "torch.nn.functional.pad",
    "amax": "torch.amax",
    "resample": "torch.nn.functional.interpolate",
    "concatenate": "torch.cat",
    "flatten": "torch.flatten",
    "permute": "torch.permute",
    "reshape": "torch.reshape",
    "add": "torch.add",
}


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return (
        "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
        + "\n"
    )


def write(name: str, text: str) -> None:
    """Write a page, unless it has that text already (Sphinx reads again what changed)."""
    path = HERE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def operations() -> dict[str, list[str]]:
    """Return the forward operations of the specification, each with the derivatives of its own."""
    names = [name for name in reference.__all__ if not name.endswith("_grad")]
    result: dict[str, list[str]] = {name: [] for name in names}
    for grad in (name for name in reference.__all__ if name.endswith("_grad")):
        owner = max((n for n in names if grad.startswith(f"{n}_")), key=len)
        result[owner].append(grad)
    return result


def code_lines(function: object) -> str:
    """Return which lines of its file are a function's code: its docstring stands above it on the page."""
    lines, first = inspect.getsourcelines(function)
    body = ast.parse(textwrap.dedent("".join(lines))).body[0].body
    signature = f"{first}-{first + body[0].lineno - 2}"
    return f"{signature},{first + body[1].lineno - 1}-{first + len(lines) - 1}" if len(body) > 1 else signature


def operation_page(name: str, derivatives: list[str]) -> str:
    """Return the page of one operation."""
    first = inspect.getdoc(getattr(reference, name)).partition("\n")[0]
    torch = TORCH.get(name, f"torch.nn.functional.{name}")
    parts = [
        f"# {name}",
        f"{first}",
        f"In PyTorch: `{torch}`. Runs on the devices `reference`, `cpu` and `cuda` under this name; the code below"
        " is the specification that the other two are tested against.",
    ]
    for which in (name, *derivatives):
        function = getattr(reference, which)
        source = Path(inspect.getsourcefile(function)).relative_to(HERE.parent)
        if which != name:
            parts.append(f"## {which}")
        parts += [
            f"```{{eval-rst}}\n.. autofunction:: {function.__module__}.{which}\n```",
            f"```{{literalinclude}} ../../../{source}\n:lines: {code_lines(function)}\n:caption: {source}\n```",
        ]
    return "\n\n".join(parts) + "\n"


def operation_pages() -> None:
    """Write a page for each operation, and their index."""
    known = operations()
    for name, derivatives in known.items():
        write(f"generated/operations/{name}.md", operation_page(name, derivatives))
    rows = [
        [f"[{name}]({name}.md)", inspect.getdoc(getattr(reference, name)).partition("\n")[0], len(derivatives)]
        for name, derivatives in known.items()
    ]
    write(
        "generated/operations/index.md",
        "# Operations\n\nEvery operation of the engine with its equation, its derivatives, and the plain NumPy"
        " code that specifies them. Conventions that all of them share:\n\n"
        "```{eval-rst}\n.. automodule:: minicnn.kernels.reference\n   :no-members:\n```\n\n"
        + table(["operation", "what it computes", "derivatives"], rows)
        + "\n```{toctree}\n:hidden:\n\n"
        + "\n".join(known)
        + "\n```\n",
    )


def help_text(parser: argparse.ArgumentParser) -> str:
    """Return a parser's help at a fixed width, whatever the terminal."""
    from minicnn.cli.parsing.parser import Help, format_folded

    parser.formatter_class = lambda prog: Help(prog, max_help_position=26, width=78)
    folded = format_folded(parser)
    return parser.format_help() + (f"\n{folded}" if folded else "")


def command_pages() -> None:
    """Write one page of all commands from the parser."""
    from minicnn.cli import build_parser

    top = build_parser()
    parts = [
        "# Commands",
        "What `minicnn COMMAND --help` prints, for all commands. Each exits with 0 if all went well, 1 if"
        " something failed, 2 for wrong use; errors are one sentence on stderr.",
    ]

    def add(parser: argparse.ArgumentParser, level: int) -> None:
        inner = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        if level > 1:
            parts.append(f"{'#' * level} {parser.prog}")
        parts.append(f"```text\n{help_text(parser)}```")
        for action in inner:
            for child in action.choices.values():
                add(child, level + 1)

    add(top, 1)
    write("generated/commands.md", "\n\n".join(parts) + "\n")


def methods_page() -> None:
    """Write the table of the methods of explanation, and each one's settings."""
    rows = []
    for m in METHODS.values():
        source = f"{m.reference.authors} {m.reference.year}, *{m.reference.title}*"
        rows.append([f"`{m.name}`", "yes" if m.signed else "no", m.passes, source])
    settings = [
        [f"`{m.name}`", f"`{name}`", s.default_help or s.default, ", ".join(filter(None, (s.help, s.unit)))]
        for m in METHODS.values()
        for name, s in m.settings.items()
    ]
    write(
        "generated/methods.md",
        "# Methods of explanation\n\nWhat `minicnn saliency --method NAME`, `minicnn.explain.attribution` and the"
        " comparisons know. A signed map also says what speaks against the class; passes are forward and backward"
        " passes of one view.\n\n"
        + table(["name", "signed", "passes", "source"], rows)
        + "\n## Settings\n\n"
        + table(["method", "setting", "default", "what"], settings),
    )


def table_pages() -> None:
    """Write the tables of networks, architectures and the paper's open choices."""
    shipped = [[f"`{n}`", e["description"], e["licence"]] for n, e in catalogue.read_entries().items()]
    built = []
    for name in zoo.ARCHITECTURES:
        entry = zoo.architecture(name)
        doc = inspect.getdoc(inspect.getmodule(getattr(zoo.ARCHITECTURES[name], "func", zoo.ARCHITECTURES[name])))
        built.append([f"`{name}`", " x ".join(map(str, entry.input_shape)), doc.partition("\n")[0]])
    write(
        "generated/networks.md",
        "# Networks\n\n## In the box\n\n`minicnn.load(NAME)` opens one of these; where they come from and what"
        " they answer stands in `weights/README.md`.\n\n"
        + table(["name", "what", "licence of the weights"], shipped)
        + "\n## Architectures for your own weights\n\n"
        '`minicnn.load("weights.pth", architecture=NAME)` reads a state dictionary into one of these;'
        " `minicnn.zoo.build(NAME)` gives it random weights.\n\n"
        + table(["name", "input, C x H x W", "what"], built),
    )
    write(
        "generated/choices.md",
        "# What the paper leaves open\n\nThe paper states its methods in a few equations and leaves parameters"
        " open. This table is `minicnn.paper.choices`, whose numbers are the defaults themselves.\n\n"
        + table(list(choices.HEADER), [list(row) for row in choices.rows()]),
    )


# what people import, in the order of the page: package, heading, and what to leave out
PACKAGES = {
    "minicnn": "Networks",
    "minicnn.layers": "Layers",
    "minicnn.explain": "The paper's methods, and later ones",
    "minicnn.training": "Training",
    "minicnn.evaluate": "Evaluation",
    "minicnn.segmentation": "Segmentation",
    "minicnn.verify": "Verification",
    "minicnn.images": "Images",
    "minicnn.zoo": "Architectures",
    "minicnn.rules": "Backward rules",
    "minicnn.errors": "Errors",
}


def api_page() -> None:
    """Write the index of functions and classes; autosummary makes a page of each."""
    parts = [
        "# Functions and classes",
        "Names of `minicnn` itself are loaded when first used: `import minicnn` imports NumPy and nothing else.",
    ]
    seen: list[object] = []  # what two packages hand on stands under the first
    for package, heading in PACKAGES.items():
        module = import_module(package)
        names = [n for n in module.__all__ if callable(getattr(module, n)) and getattr(module, n) not in seen]
        seen += [getattr(module, name) for name in names]
        listed = "\n".join(f"   {name}" for name in names)
        parts.append(
            f"## {heading}\n\n```{{eval-rst}}\n.. currentmodule:: {package}\n\n"
            f".. autosummary::\n   :toctree: api\n\n{listed}\n```"
        )
    write("generated/api.md", "\n\n".join(parts) + "\n")


def generate(_app: object, _config: object) -> None:
    """Write all pages."""
    api_page()
    operation_pages()
    command_pages()
    methods_page()
    table_pages()


def escape_bars(_app, _what, _name, _obj, _options, lines: list[str]) -> None:
    """Let |x| be an absolute value, as the docstrings mean it, and not a substitution of reStructuredText."""
    for i, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            lines[i] = "``".join(
                part if n % 2 else part.replace("|", "\\|") for n, part in enumerate(line.split("``"))
            )


def setup(app):
    """Tell Sphinx."""
    app.connect("autodoc-process-docstring", escape_bars, priority=400)  # before numpydoc takes it apart
    app.connect("config-inited", generate)  # before Sphinx looks for pages
    return {"parallel_read_safe": True, "parallel_write_safe": True}
