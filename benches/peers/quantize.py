"""OpenVINO's network with products of int8: weights are rounded for each output, and inputs as a whole."""

import numpy
import openvino
import openvino.opset13 as ops


def products(network):
    """The products with weights, these, and the axis of their inputs."""
    for product in network.get_ordered_ops():
        if product.get_type_name() != "MatMul":
            continue
        weights = product.input_value(1).get_node()
        if weights.get_type_name() == "Constant" and len(weights.shape) == 2:
            yield product, numpy.array(weights.data), int(product.get_attributes()["transpose_b"])


def place(output):
    return output.get_node().get_friendly_name(), output.get_index()


def largest_inputs(core, path, x):
    """The largest number of each product's input, for this input of the network."""
    network = core.read_model(path)
    first, places = len(network.outputs), {}
    for product, *_ in list(products(network)):
        output = product.input_value(0)
        if place(output) not in places:
            places[place(output)] = first + len(places)
            network.add_outputs(output)
    request = core.compile_model(network, "CPU", dict(INFERENCE_PRECISION_HINT="f32")).create_infer_request()
    request.infer(x)
    return {key: numpy.abs(request.get_output_tensor(i).data).max() for key, i in places.items()}


def rounded(output, least, most, levels):
    least, most = (ops.constant(numpy.asarray(end, numpy.float32)) for end in (least, most))
    return ops.fake_quantize(output, least, most, least, most, levels).output(0)


def quantized(core, path, x):
    largest = largest_inputs(core, path, x)
    network = core.read_model(path)
    for product, weights, axis in list(products(network)):
        most = largest[place(product.input_value(0))]
        product.input(0).replace_source_output(rounded(product.input_value(0), -most * 128 / 127, most, 256))
        most = numpy.abs(weights).max(axis=axis, keepdims=True)
        product.input(1).replace_source_output(rounded(product.input_value(1), -most, most, 255))
    network.validate_nodes_and_infer_types()
    return network
