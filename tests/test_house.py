"""The house: imports run downward, public names stand, importing is light, every package is in the wheel."""

import ast
import configparser
import functools
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import minicnn

ROOT = Path(minicnn.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))

# from the ground up; a module may import from its own floor and from those above it in this list
FLOORS = [
    ["errors", "_utils", "rules"],
    ["shapes"],
    ["kernels.reference", "kernels.scalar_functions", "kernels.cpu", "kernels.cuda"],
    ["kernels"],
    ["images"],
    ["report"],
    ["layers"],
    ["segmentation"],
    ["network"],
    ["formats", "zoo"],
    ["io"],
    ["training"],
    ["explain"],
    ["evaluate"],
    ["batch"],
    ["service"],
    ["verify"],
    ["figures"],
    ["explorer"],
    ["paper"],
    ["cli"],
    ["__main__"],
]


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(p for p in parts if p != "__init__")


def floor_of(name):
    matches = [
        (len(top), level) for level, tops in enumerate(FLOORS) for top in tops if f"{name}.".startswith(f"{top}.")
    ]
    return max(matches)[1] if matches else None


def imported(path):
    """Names of minicnn's modules that a source file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").split(".")[0] == "minicnn":
            base = node.module.partition(".")[2]
            for alias in node.names:
                inner = f"{base}.{alias.name}".strip(".")
                exists = (ROOT / Path(*inner.split("."))).is_dir() or (ROOT / Path(*inner.split("."))).with_suffix(
                    ".py"
                ).exists()
                yield inner if exists else base
        elif isinstance(node, ast.Import):
            yield from (a.name.partition(".")[2] for a in node.names if a.name.split(".")[0] == "minicnn")


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_run_downward(path):
    own = floor_of(module_name(path)) if module_name(path) else len(FLOORS)
    assert own is not None, f"{module_name(path)} has no floor; add it to FLOORS"
    for target in imported(path):
        floor = floor_of(target) if target else 0
        assert floor is not None and floor <= own, f"{module_name(path)} imports {target}, which is above it"


PUBLIC = {  # the interface that outside programs call by name: function, and the parameters that they name
    "load": "source weights architecture",
    "save": "net path",
    "Network": "layers input_shape preprocess labels",
    "Network.to": "device",
    "Network.forward": "x upto",
    "Network.input_gradient": "x target rule layer of",
    "Network.loss_gradient": "x labels",
    "Network.state_dict": "",
    "Network.load_state_dict": "mapping",
    "Network.summary": "",
    "committee": "networks",
    "explore": "net image host port",
    "explain.saliency": "net image target crops rule",
    "explain.class_model": "net target",
    "explain.maximise": "net layer unit constraint",
    "explain.deconvnet": "net image layer channel position",
    "explain.segment": "image foreground background",
    "explain.localise": "net image targets",
    "explain.evaluate_localisation": "net dataset",
    "training.fit": "net dataset recipe validation epochs seed checkpoint resume workers on_epoch",
    "training.read_dataset": "path",
    "verify.gradients": "net_or_layer x",
    "verify.compare": "net peer x",
}


@pytest.mark.parametrize("name", PUBLIC)
def test_the_public_interface_stands(name):
    function = functools.reduce(getattr, name.split("."), minicnn)
    parameters = [p for p in inspect.signature(function).parameters if p != "self"]
    named = PUBLIC[name].split()
    assert parameters[: len(named)] == named


def test_public_names():
    promised = {"Network", "Preprocess", "load", "save", "explain", "verify", "zoo", "errors", "layers", "rules"}
    assert promised <= set(minicnn.__all__)
    for name in minicnn.__all__:
        assert getattr(minicnn, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = minicnn.nonsense
    net = minicnn.load("digits")
    assert net["conv_layers.0"] is net.layers[0] and net.names and net.labels and net.preprocess


def test_corridors_are_short():
    """A newcomer finds a file by reading the names of one folder."""
    for folder in {path.parent for path in SOURCES}:
        files = [path for path in folder.glob("*.py") if not path.name.startswith("__")]
        assert len(files) <= (3 if folder == ROOT else 18), folder


# Operations and calls whose every argument has a name of torch's or the paper's, load, which asks for what a file
# leaves open, and _tensor_v3, whose arguments the pickles of PyTorch fix.
MANY_PARAMETERS = {"conv2d_relu", "conv2d_relu_input_grad", "evaluate_pointing", "segment", "smooth_gradient"}
MANY_PARAMETERS |= {"fit", "load", "smooth_gradients", "_tensor_v3"}


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_functions_take_at_most_eight_parameters(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name not in MANY_PARAMETERS:
            names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            assert len([n for n in names if n not in ("self", "cls")]) <= 8, f"{path.name}: {node.name}"


def loaded(module):
    script = Path(__file__).parent / "helpers" / "third_party.py"
    done = subprocess.run(
        [sys.executable, str(script), module],
        cwd=ROOT.parent,
        env={"PYTHONPATH": "."},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "module", ["minicnn", "minicnn.cli", "minicnn.explain", "minicnn.io.load", "minicnn.report"]
)
def test_importing_loads_numpy_alone(module):
    assert module in loaded(module)


@pytest.mark.parametrize("package", ["layers", "explain"])
def test_names_that_are_imported_on_use_are_those_that_a_type_checker_sees(package):
    module = getattr(minicnn, package)
    tree = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))
    seen = {a.name: n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
    homes = {name: home for name, home in vars(module)["_home"].items() if name in seen}
    assert homes == {name: seen[name] for name in homes} and set(module.__all__) == set(vars(module)["_home"])
    for name in module.__all__:
        importlib.import_module(vars(module)["_home"][name])
        assert not inspect.ismodule(getattr(module, name)), name
    assert set(module.__all__) <= set(dir(module))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = module.nonsense


def test_an_answer_needs_what_the_network_is_made_of_alone():
    script = """if True:
        import sys, minicnn
        net = minicnn.load("digits")
        minicnn.explain.predict(net, sys.argv[1], top=1)
        print(*(name for name in sys.modules if name.startswith("minicnn.")))
    """
    image = ROOT.parent / "notebooks" / "images" / "seven.png"
    done = subprocess.run([sys.executable, "-c", script, image], capture_output=True, text=True, check=True)
    assert "minicnn.layers.linear" in done.stdout
    for name in ("minicnn.zoo", "minicnn.layers.joins", "minicnn.explain.saliency", "minicnn.formats.pytorch"):
        assert name not in done.stdout.split()


def test_every_package_is_shipped():
    config = configparser.ConfigParser()
    setup = ROOT.parent / "setup.cfg"
    if not setup.exists():
        pytest.skip("installed without its sources")
    config.read(setup)
    listed = set(config["options"]["packages"].split())
    packages = {".".join(["minicnn", *p.parent.relative_to(ROOT).parts]) for p in ROOT.rglob("__init__.py")}
    assert packages <= listed


COMPILED = ("inner", "njit", "kernel", "intrinsic", "Kernel")  # decorators, and the class, that compile a function


def _calls(node):
    """Names of what is called inside of a node."""
    return {c.func.id for c in ast.walk(node) if isinstance(c, ast.Call) and isinstance(c.func, ast.Name)}


def test_inner_functions_of_kernels_are_called_by_compiled_functions_alone():
    """They have no wrapper for Python, and a call from there ends the process."""
    trees = {
        path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "kernels/cpu").rglob("*.py")
    }
    inner = {
        (module, node.name)
        for module, tree in trees.items()
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and "inner" in map(ast.unparse, node.decorator_list)
    }
    assert len(inner) > 50
    for module, tree in trees.items():
        own = {name for where, name in inner if where == module}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                source = (node.module or "").rpartition(".")[2]
                own |= {alias.name for alias in node.names if (source, alias.name) in inner}
        handed = {
            argument.id
            for call in ast.walk(tree)
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Kernel"
            for argument in call.args
            if isinstance(argument, ast.Name)
        }
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name not in handed:
                if not any(ast.unparse(d).startswith(COMPILED) for d in node.decorator_list):
                    assert not _calls(node) & own, f"{module}.{node.name} calls {_calls(node) & own}"
