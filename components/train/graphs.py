"""ONNX graphs of fitted models: one input (rows, columns) of float32, one output (rows, 2) of float64 probabilities.

Log odds become probabilities in float64, as in the native engines: in float32, 1 has few neighbours, and a calibration
may be steep there.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from serin.engines.onnx import INPUT, OUTPUT
from serin.engines.stack import LEAST, StackModel
from serin.estimators.logistic_regression import Pipeline

# The same for all, so that a stack's members fit into one graph; onnxmltools knows no later one.
OPSET, ML_OPSET = 15, 3
# Converters would give each graph a random one.
_NAME = "model"


def of_sklearn(model: Any, columns: int) -> Any:
    """A pipeline of scikit-learn, by skl2onnx."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    model = model.pipeline if isinstance(model, Pipeline) else model
    core = model.steps[-1][1] if hasattr(model, "steps") else model
    gives_margins = hasattr(core, "decision_function")
    graph = convert_sklearn(
        model,
        name=_NAME,
        initial_types=[(INPUT, FloatTensorType([None, columns]))],
        options={id(core): {"zipmap": False, **({"raw_scores": True} if gives_margins else {})}},
        target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
    )
    return _trimmed(graph, gives_margins)


def of_xgboost(model: Any, columns: int) -> Any:
    """What has an XGBoost Booster, by onnxmltools."""
    from onnxmltools import convert_xgboost

    # Not skl2onnx's.
    from onnxmltools.convert.common.data_types import FloatTensorType
    from xgboost import XGBClassifier

    # Of a bare Booster the converter guesses the objective.
    classifier = XGBClassifier()
    classifier.load_model(model.get_booster().save_raw("ubj"))
    types = [(INPUT, FloatTensorType([None, columns]))]
    with _each_node_numbered_once():
        graph = convert_xgboost(classifier, name=_NAME, initial_types=types, target_opset=OPSET)
    return _trimmed(graph, _as_margins(graph))


@contextmanager
def _each_node_numbered_once() -> Iterator[None]:
    """While the block runs, onnxmltools 1.16 numbers an XGBoost tree's nodes without going over them again and again.

    It makes a split by k categories a chain of k nodes with a child in common, and would walk that child's tree k
    times, k times k below another such split: minutes for trees of 9 levels and 40 categories, hours for more.
    """
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import XGBConverter

    theirs = XGBConverter._remap_nodeid
    XGBConverter._remap_nodeid = staticmethod(numbered)
    try:
        yield
    finally:
        XGBConverter._remap_nodeid = staticmethod(theirs)


def numbered(tree: dict[str, Any]) -> dict[int, int]:
    """The nodes' ids in the order of a walk (node, left, right), each to its place."""
    places: dict[int, int] = {}
    ahead = [tree]
    while ahead:
        node = ahead.pop()
        if node["nodeid"] not in places:
            places[node["nodeid"]] = len(places)
            ahead += reversed(node.get("children", []))
    return places


def of_lightgbm(model: Any, columns: int) -> Any:
    """What has a LightGBM Booster, by onnxmltools."""
    from lightgbm import Booster
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    booster = Booster(model_str=_single(model.booster.model_to_string()))
    types = [(INPUT, FloatTensorType([None, columns]))]
    graph = convert_lightgbm(booster, _NAME, types, target_opset=OPSET, zipmap=False)
    return _trimmed(graph, _as_margins(graph))


def _as_margins(model: Any) -> bool:
    """Let trees that give float32 probabilities of log odds give the log odds, -x and x; whether there were any."""
    of_trees = [node for node in model.graph.node if node.op_type == "TreeEnsembleClassifier"]
    after = [each for node in of_trees for each in node.attribute if each.name == "post_transform"]
    logistic = [each for each in after if each.s == b"LOGISTIC"]
    for each in logistic:
        each.s = b"NONE"
    return bool(logistic)


def _single(text: str) -> str:
    """A LightGBM model whose thresholds are float32, with the same answers for inputs that are float32.

    ONNX's are float32, and the converter rounds to the nearest, which may be the next value above: x <= t holds for
    the same float32 x when t is rounded down.
    """

    def rounded(line: re.Match[str]) -> str:
        values = [repr(float(_below(float(value)))) for value in line[1].split()]
        return f"threshold={' '.join(values)}"

    # With the sizes of the trees' texts, which change, LightGBM would look for them in the wrong places.
    plain = re.sub(r"^tree_sizes=.*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^threshold=(.*)$", rounded, plain, flags=re.MULTILINE)


def _below(value: float) -> np.float32:
    near = np.float32(value)
    return near if float(near) <= value else np.nextafter(near, np.float32(-np.inf))


def stacked(stack: StackModel, members: list[bytes], columns: int) -> Any:
    """A stack of ONNX models: their graphs side by side, and the logistic regression over them in float64."""
    from onnx import TensorProto, compose, helper, load_model_from_string

    nodes, initializers, opsets, scores = [], [], {"": OPSET, "ai.onnx.ml": ML_OPSET}, []
    for place, kept in enumerate(members):
        model = compose.add_prefix(load_model_from_string(kept), f"member{place}_")
        for node in model.graph.node:
            node.input[:] = [INPUT if name == f"member{place}_{INPUT}" else name for name in node.input]
        nodes += model.graph.node
        initializers += model.graph.initializer
        opsets |= {each.domain: max(each.version, opsets.get(each.domain, 1)) for each in model.opset_import}
        scores.append(f"member{place}_{OUTPUT}")
    constants, combined = _combination(stack, scores)
    graph = helper.make_graph(
        [*nodes, *combined],
        "stack",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, columns])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.DOUBLE, [None, 2])],
        [*initializers, *constants],
    )
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def _combination(stack: StackModel, scores: list[str]) -> tuple[list[Any], list[Any]]:
    """See serin.engines.stack: sigmoid(intercept + sum of coefficient * logit), as constants and nodes."""
    from onnx import helper, numpy_helper

    given = {
        "positive": np.array([1], np.int64),
        "least": np.array(LEAST),
        "most": np.array(1 - LEAST),
        "one": np.array([1.0]),
        "coefficients": np.asarray(stack.coefficients, np.float64)[:, None],
        "intercept": np.array([stack.intercept]),
    }
    constants = [numpy_helper.from_array(value, name) for name, value in given.items()]
    node = helper.make_node
    each = [node("Gather", [name, "positive"], [f"{name}_positive"], axis=1) for name in scores]
    return constants, [
        *each,
        node("Concat", [f"{name}_positive" for name in scores], ["scores"], axis=1),
        node("Clip", ["scores", "least", "most"], ["inside"]),
        node("Sub", ["one", "inside"], ["outside"]),
        node("Div", ["inside", "outside"], ["odds"]),
        node("Log", ["odds"], ["logits"]),
        node("MatMul", ["logits", "coefficients"], ["weighted"]),
        node("Add", ["weighted", "intercept"], ["logit"]),
        node("Sigmoid", ["logit"], ["one_class"]),
        node("Sub", ["one", "one_class"], ["other_class"]),
        node("Concat", ["other_class", "one_class"], [OUTPUT], axis=1),
    ]


def _trimmed(model: Any, margins: bool) -> Any:
    """The model with its probabilities as its one output, made of log odds where it gives `margins`."""
    from onnx import TensorProto, helper

    graph = model.graph
    (found,) = [each for each in graph.output if each.type.tensor_type.elem_type == TensorProto.FLOAT]
    given = found.name
    if given == OUTPUT:
        given = f"{OUTPUT}_single"
        for node in graph.node:
            node.output[:] = [given if name == OUTPUT else name for name in node.output]
    double = f"{OUTPUT}_double" if margins else OUTPUT
    graph.node.append(helper.make_node("Cast", [given], [double], to=TensorProto.DOUBLE))
    if margins:
        graph.node.append(helper.make_node("Sigmoid", [double], [OUTPUT]))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.DOUBLE, [None, 2]))
    return model
