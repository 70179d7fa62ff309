"""A firmware as the text of its files."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from string import Template

from bitsmith import version
from bitsmith.targets.c.call import Call, Table
from bitsmith.targets.c.firmware import Choices, Door, Firmware
from bitsmith.targets.c.flavours import OPTIMISE, PLAIN
from bitsmith.targets.c.instances import Instances
from bitsmith.targets.c.names import Names, comment
from bitsmith.targets.c.text import array, declaration, extent, struct

TAKEN = ("run", "kernel", "trace", "debug", "weights", "arena", "arena_bytes", "arithmetic_shift", "h", "main")


@dataclass
class Writer:
    """Everything that the files name, named once."""

    firmware: Firmware
    title: str
    prefix: str
    names: Names = field(default_factory=lambda: Names(TAKEN))
    instances: Instances = field(init=False)
    layers: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.instances = Instances(self.prefix)
        for door in (*self.firmware.inputs, *self.firmware.outputs):
            self.names.identifier(door.name)
        parts: dict[str, int] = {}
        self.layers = []
        for call in self.firmware.calls:            # several calls may make one value
            parts[call.result] = parts.get(call.result, 0) + 1
            again = f" part {parts[call.result]}" if parts[call.result] > 1 else ""
            self.layers.append(f"{self.prefix}_layer_{self.names.identifier(call.result + again)}")

    @property
    def common(self) -> dict[str, str]:
        """What every template may say."""
        return {"title": comment(self.title), "version": version.VERSION, "prefix": self.prefix, "PREFIX": self.prefix.upper(),
                "PREFIX_ARENA_BYTES": f"{self.prefix.upper()}_ARENA_BYTES", "PREFIX_DEBUG": f"{self.prefix.upper()}_DEBUG",
                "arena_bytes": str(max(4, self.firmware.arena.size)), "lower_bound": str(self.firmware.arena.lower_bound),
                **(in_floats(self.prefix) if self.firmware.choices.compute == "float" else in_integers(self.firmware.choices, self.prefix))}

    def tables(self) -> Iterator[tuple[str, str, Table]]:
        """(name, what it is for, table) of everything in flash."""
        for call, layer in zip(self.firmware.calls, self.layers, strict=True):
            for name, table in call.fields.tables():
                yield f"{layer}_{name}", f"{call.result}: {name.replace('_', ' ')}", table
        for name, table in self.firmware.constants.items():
            yield self.constant(name), f"{name}: constant", table

    def constant(self, name: str) -> str:
        return f"{self.prefix}_constant_{self.names.identifier(name + ' (constant)')}"

    def at(self, name: str) -> str:
        """The name of a value's offset in the arena."""
        return f"{self.prefix}_at_{self.names.identifier(name)}"

    def pointer(self, name: str) -> str:
        """An expression for where a value lies."""
        owner = self.firmware.owner(name)
        if owner in self.firmware.constants:
            return self.constant(owner)
        spot = f"memory + {self.at(owner)}"
        return spot if self.firmware.stored[name].c_type == "uint8_t" else f"(void *)({spot})"


def in_integers(choices: Choices, prefix: str) -> dict[str, str]:
    """What code that computes in integers includes, links and says of itself; rounding in float takes a library."""
    math = [what for what, asked in (("codes are rounded in float by `rintf`", choices.rounding == "float"),
                                     ("activation functions are computed in float", choices.math_curves)) if asked]
    return {
        **linked(bool(math), prefix), "arithmetic": "integers", "contents": "codes",
        "meaning": "\n *\n * real number = scale * (code - zero point)",
        "origin": "from the integer program: it computes the same codes, bit for bit",
        "needs": f"{' and '.join(math)} of `math.h`" if math else
                 "no library beyond `string.h` and\n`stdint.h`, no floating point",
        "how": f"Rounding: {choices.rounding}. Kernels: {choices.flavour}.", "checked": "every code against the integer program",
    }


def in_floats(prefix: str) -> dict[str, str]:
    """The same of code that computes in float."""
    return {
        **linked(True, prefix), "arithmetic": "float32", "contents": "numbers", "meaning": "",
        "origin": "in float32: every operation is rounded once, and sums go term by term",
        "needs": "no library beyond `string.h`,\n`stdint.h` and `math.h`", "how": "Arithmetic: float32.",
        "checked": "every layer bit for bit, outputs against onnxruntime",
    }


def linked(math: bool, prefix: str) -> dict[str, str]:
    return {"includes": "#include <math.h>\n#include <string.h>" if math else "#include <string.h>",
            "libraries": f"target_link_libraries({prefix} PUBLIC m)" if math else ""}


def write_source(firmware: Firmware, *, title: str, prefix: str = "net") -> dict[str, str]:
    """File name -> text. The same firmware gives the same text."""
    writer = Writer(firmware, title, prefix)
    body = "\n".join(write_call(writer, i) for i in range(len(firmware.calls))) or "    (void)memory;"
    code = fill(writer, "net.c", {
        "body": body, "kernels": "\n".join(writer.instances.texts.values()), "layers": "\n".join(layer_structs(writer)),
        "places": ",\n".join(f"    {writer.at(name)} = {at}" for name, at in firmware.arena.offsets.items()) or f"    {prefix}_nothing",
        "doors": "\n".join(door_function(writer, d) for d in doors(firmware)),
    })
    return {
        f"{prefix}.h": fill(writer, "net.h", {"doors": "\n".join(door_declaration(writer, d) for d in doors(firmware))}),
        f"{prefix}.c": code,
        f"{prefix}_weights.h": weights_header(writer),
        f"{prefix}_weights.c": weights_source(writer),
        "main.c": main_source(writer),
        "CMakeLists.txt": fill(writer, "CMakeLists.txt", {"optimise": " ".join(OPTIMISE.get(firmware.choices.flavour, PLAIN))}),
        "README.md": read_me(writer),
    }


@cache
def template(name: str) -> Template:
    return Template((files("bitsmith.targets.c") / "templates" / name).read_text(encoding="utf-8"))


def fill(writer: Writer, name: str, words: Mapping[str, str]) -> str:
    return template(name).substitute({**writer.common, **words})


def doors(firmware: Firmware) -> list[Door]:
    """Inputs and outputs; an output that is an input is one of them only."""
    return [*firmware.inputs, *(d for d in firmware.outputs if d.name not in {i.name for i in firmware.inputs})]


def layer_structs(writer: Writer) -> Iterator[str]:
    for call, layer in zip(writer.firmware.calls, writer.layers, strict=True):
        yield f"/* {comment(call.result)}: {comment(call.says)} */\n" + struct(writer.instances.of(call), layer, call.fields, layer)


def write_call(writer: Writer, index: int) -> str:
    """One layer: a comment, the call, and the hook for debugging."""
    firmware = writer.firmware
    call, kernel = firmware.calls[index], writer.instances.of(firmware.calls[index])
    sources = [writer.pointer(name) for name in call.reads]
    if call.together:
        sources = [f"(const {call.types['source_t']} *const[]){{{', '.join(sources)}}}"]
    words = [f"&{writer.layers[index]}", *sources, writer.pointer(call.result)]
    if index in firmware.scratch:
        spot = f"memory + {writer.at(firmware.scratch[index])}"
        words.append(spot if call.types.get("source_t") == "uint8_t" else f"(void *)({spot})")
    said = f"    /* {comment(call.result)}: {comment(call.says)} */\n"
    line = f"{kernel}({', '.join(words)})"
    run = f"    if ({line} != 0) {{\n        return 1;\n    }}\n" if call.can_fail else f"    {line};\n"
    stored = firmware.stored[call.result]
    return f"{said}{run}    {writer.prefix.upper()}_TRACE({writer.pointer(call.result)}, {stored.bytes});\n"


def door_declaration(writer: Writer, door: Door) -> str:
    """Constants and the function of an input or output."""
    name = writer.names.identifier(door.name)
    macro, is_input = f"{writer.prefix.upper()}_{name.upper()}", door in writer.firmware.inputs
    shape = f"{door.stored.c_type} {extent(door.stored.sizes)}{order_of(door)}"
    lines = [f"/* {'Input' if is_input else 'Output'} '{comment(door.name)}': {shape} */",
             f"#define {macro}_COUNT {door.stored.count}"]
    if door.encoding is not None and door.encoding.format.integral:
        scale = float(door.encoding.scale.reshape(()))
        lines += [f"#define {macro}_SCALE {scale!r}", f"#define {macro}_ZERO_POINT {int(door.encoding.zero_point.reshape(()))}"]
    return "\n".join([*lines, door_signature(writer, door) + ";", ""])


def order_of(door: Door) -> str:
    """A word where codes come in another order than the network says."""
    return "" if door.stored.is_natural else ", channels last"


def door_signature(writer: Writer, door: Door) -> str:
    name, kind = f"{writer.prefix}_{writer.names.identifier(door.name)}", door.stored.c_type
    return f"{kind} *{name}(void *arena)" if door in writer.firmware.inputs else f"const {kind} *{name}(const void *arena)"


def door_function(writer: Writer, door: Door) -> str:
    const = "" if door in writer.firmware.inputs else "const "
    spot = f"({const}uint8_t *)arena + {writer.at(writer.firmware.owner(door.value))}"
    result = spot if door.stored.c_type == "uint8_t" else f"({const}void *)({spot})"
    return f"{door_signature(writer, door)}\n{{\n    return {result};\n}}\n"


READ = "    complete = complete && fread({call}, sizeof(*{call}), {count}, stdin) == {count};"
WRITE = "        fwrite({call}, sizeof(*{call}), {count}, stdout);"


def stream(writer: Writer, found: tuple[Door, ...], line: str) -> str:
    return "\n".join(line.format(call=f"{writer.prefix}_{writer.names.identifier(d.name)}(arena)", count=d.stored.count) for d in found)


def main_source(writer: Writer) -> str:
    firmware = writer.firmware
    return fill(writer, "main.c", {"reads": stream(writer, firmware.inputs, READ), "writes": stream(writer, firmware.outputs, WRITE)})


def weights_header(writer: Writer) -> str:
    guard = f"{writer.prefix.upper()}_WEIGHTS_H"
    lines = "".join(declaration(name, table) for name, _, table in writer.tables())
    head = f"/* Weights and tables of {comment(writer.title)}. */\n#ifndef {guard}\n#define {guard}\n\n"
    return f"{head}#include <stdint.h>\n\n{lines}\n#endif\n"


def weights_source(writer: Writer) -> str:
    found = "\n".join(f"/* {comment(says)} */\n{array(name, table)}" for name, says, table in writer.tables())
    return f'/* Weights and tables of {comment(writer.title)}. */\n#include "{writer.prefix}_weights.h"\n\n{found}'


def read_me(writer: Writer) -> str:
    rows = [f"| {cell(call)} | {call.says} | `{call.kernel}` | {sum(t.bytes for _, t in call.fields.tables()):,} | {call.macs:,} |"
            for call in writer.firmware.calls]
    return fill(writer, "README.md", {
        "table_bytes": f"{writer.firmware.table_bytes:,}", "macs": f"{sum(call.macs for call in writer.firmware.calls):,}",
        "rows": "\n".join(rows),
    })


def cell(call: Call) -> str:
    """A value's name in a table."""
    return f"`{comment(call.result).replace('|', '/').replace('`', chr(39))}`"
