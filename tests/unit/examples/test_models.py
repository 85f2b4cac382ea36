"""The examples have the parameters of the checkpoints that they claim to load."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bert
import minilm
import numpy as np
import pytest
import resnet50
import unet
import vit

import ait
from ait import nn
from ait.dialects.kernel import ConvOp, CopyOp, KernelOp, ResizeOp
from ait.passes.pipelines import run_pipeline

Shapes = dict[str, tuple[int, ...]]


def affine(name: str, *shape: int) -> Shapes:
    """A layer's weight and its bias."""
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def bert_shapes(config: bert.BertConfig) -> Shapes:
    """The keys of transformers' BertModel."""
    width, inner = config.hidden_size, config.intermediate_size
    names: Shapes = {
        "embeddings.word_embeddings.weight": (config.vocab_size, width),
        "embeddings.position_embeddings.weight": (config.max_position_embeddings, width),
        "embeddings.token_type_embeddings.weight": (config.type_vocab_size, width),
        **affine("embeddings.LayerNorm", width),
        **affine("pooler.dense", width, width),
    }
    for i in range(config.num_hidden_layers):
        layer = f"encoder.layer.{i}"
        for part in ("query", "key", "value"):
            names |= affine(f"{layer}.attention.self.{part}", width, width)
        names |= affine(f"{layer}.attention.output.dense", width, width)
        names |= affine(f"{layer}.attention.output.LayerNorm", width)
        names |= affine(f"{layer}.intermediate.dense", inner, width)
        names |= affine(f"{layer}.output.dense", width, inner)
        names |= affine(f"{layer}.output.LayerNorm", width)
    return names


def batch_norm(name: str, width: int) -> Shapes:
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": (width,) for part in parts}


def resnet50_shapes() -> Shapes:
    """The keys of torchvision's resnet50, but for num_batches_tracked."""
    names: Shapes = {"conv1.weight": (64, 3, 7, 7), **batch_norm("bn1", 64)}
    inputs = 64
    for i, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 1):
        for j in range(blocks):
            block = f"layer{i}.{j}"
            names[f"{block}.conv1.weight"] = (width, inputs, 1, 1)
            names[f"{block}.conv2.weight"] = (width, width, 3, 3)
            names[f"{block}.conv3.weight"] = (4 * width, width, 1, 1)
            for k, channels in ((1, width), (2, width), (3, 4 * width)):
                names |= batch_norm(f"{block}.bn{k}", channels)
            if j == 0:
                names[f"{block}.downsample.0.weight"] = (4 * width, inputs, 1, 1)
                names |= batch_norm(f"{block}.downsample.1", 4 * width)
            inputs = 4 * width
    return names | affine("fc", 1000, 2048)


def vit_shapes() -> Shapes:
    """The keys of timm's vit_base_patch16_224."""
    names: Shapes = {
        "cls_token": (1, 1, 768),
        "pos_embed": (1, 197, 768),
        **affine("patch_embed.proj", 768, 3, 16, 16),
        **affine("norm", 768),
        **affine("head", 1000, 768),
    }
    for i in range(12):
        block = f"blocks.{i}"
        for name, shape in (
            ("norm1", (768,)),
            ("attn.qkv", (2304, 768)),
            ("attn.proj", (768, 768)),
            ("norm2", (768,)),
            ("mlp.fc1", (3072, 768)),
            ("mlp.fc2", (768, 3072)),
        ):
            names |= affine(f"{block}.{name}", *shape)
    return names


def classifier_shapes() -> Shapes:
    inner = {f"bert.{name}": shape for name, shape in bert_shapes(bert.BertConfig()).items()}
    return inner | affine("classifier", 3, 768)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (bert.BertModel(bert.BertConfig()), bert_shapes(bert.BertConfig())),
        (bert.BertForSequenceClassification(bert.BertConfig(), 3), classifier_shapes()),
        (minilm.SentenceEncoder(), bert_shapes(minilm.CONFIG)),
        (resnet50.resnet50(), resnet50_shapes()),
        (vit.VisionTransformer(), vit_shapes()),
    ],
    ids=["bert", "classifier", "minilm", "resnet50", "vit"],
)
def test_names_and_shapes(model: nn.Module, expected: Shapes) -> None:
    assert {name: p.shape for name, p in model.state_dict().items()} == expected


def test_numbers_of_parameters_are_those_published() -> None:
    def count(model: nn.Module) -> int:
        return sum(int(np.prod(p.shape)) for p in model.parameters())

    assert count(bert.BertModel(bert.BertConfig())) == 109_482_240
    assert count(minilm.SentenceEncoder()) == 22_713_216
    assert count(resnet50.resnet50()) == 25_557_032
    assert count(vit.VisionTransformer()) == 86_567_656
    assert count(unet.UNet(unet.UNetConfig())) == 859_520_964


def test_unet_has_diffusers_names() -> None:
    shapes = {name: p.shape for name, p in unet.UNet(unet.UNetConfig()).state_dict().items()}
    attention = "up_blocks.1.attentions.2.transformer_blocks.0"
    some: Shapes = {
        **affine("conv_in", 320, 4, 3, 3),
        **affine("time_embedding.linear_2", 1280, 1280),
        **affine("down_blocks.1.resnets.0.time_emb_proj", 640, 1280),
        **affine("down_blocks.1.resnets.0.conv_shortcut", 640, 320, 1, 1),
        **affine("down_blocks.2.downsamplers.0.conv", 1280, 1280, 3, 3),
        **affine("mid_block.attentions.0.proj_in", 1280, 1280, 1, 1),
        f"{attention}.attn2.to_k.weight": (1280, 768),
        **affine(f"{attention}.attn2.to_out.0", 1280, 1280),
        **affine(f"{attention}.ff.net.0.proj", 10240, 1280),
        **affine(f"{attention}.ff.net.2", 1280, 5120),
        **affine("up_blocks.3.resnets.0.norm1", 960),
        **affine("up_blocks.0.upsamplers.0.conv", 1280, 1280, 3, 3),
        **affine("conv_norm_out", 320),
        **affine("conv_out", 4, 320, 3, 3),
    }
    assert len(shapes) == 686
    assert some.items() <= shapes.items()


def test_early_berts_names() -> None:
    weights = {"bert.embeddings.LayerNorm.gamma": np.ones(1), "cls.bias": np.ones(1)}
    assert list(bert.modern_names(weights)) == ["bert.embeddings.LayerNorm.weight", "cls.bias"]


# What they compute ----------------------------------------------------------------------------

TINY = bert.BertConfig(
    vocab_size=50,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=20,
)


def evaluated(model: nn.Module, specs: dict[str, ait.TensorSpec], inputs: Any) -> Any:
    program = ait.trace(model, specs)
    program.verify()
    return ait.evaluate(program, inputs)


def test_bert_ignores_what_is_masked() -> None:
    model = bert.BertModel(TINY).init_random()
    specs = bert.specs(4, 20)
    inputs = bert.example_inputs(2, 9, TINY.vocab_size)
    first = evaluated(model, specs, inputs)
    assert first["last_hidden_state"].shape == (2, 9, 16)
    assert first["pooler_output"].shape == (2, 16)
    masked = inputs["attention_mask"] == 0
    assert masked.any()
    changed = {**inputs, "input_ids": np.where(masked, 7, inputs["input_ids"])}
    second = evaluated(model, specs, changed)
    np.testing.assert_array_equal(first["pooler_output"], second["pooler_output"])


def test_segments_default_to_the_first() -> None:
    model = bert.BertForSequenceClassification(TINY, 3).init_random()
    specs = bert.specs(4, 20)
    inputs = bert.example_inputs(2, 5, TINY.vocab_size)
    full = evaluated(model, specs, inputs)["output"]
    del specs["token_type_ids"], inputs["token_type_ids"]
    np.testing.assert_allclose(evaluated(model, specs, inputs)["output"], full, rtol=1e-5)


def test_sentence_vectors_are_units() -> None:
    model = minilm.SentenceEncoder(TINY).init_random()
    specs = {name: ait.TensorSpec((2, 5), "i64") for name in ("input_ids", "attention_mask")}
    inputs = bert.example_inputs(2, 5, TINY.vocab_size)
    del inputs["token_type_ids"]
    vectors = evaluated(model, specs, inputs)["embeddings"]
    np.testing.assert_allclose((vectors**2).sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["f32", "f16"])
def test_small_images_through_the_vision_models(dtype: str) -> None:
    small_vit = vit.VisionTransformer(size=32, width=24, depth=2, heads=2, num_classes=5)
    for model, specs in (
        (resnet50.ResNet((1, 1, 1, 1), 5), resnet50.specs(32, 4, dtype)),
        (small_vit, vit.specs(32, 4, dtype)),
    ):
        x = np.random.default_rng(0).standard_normal((2, 3, 32, 32), np.float32)
        images = x.astype(nn.numpy_dtype(dtype))
        y = evaluated(model.init_random().to(dtype), specs, {"x": images})["output"]
        assert y.shape == (2, 5)
        assert np.isfinite(y).all()


TINY_UNET = unet.UNetConfig(
    channels=(8, 16, 16, 24),
    latent_size=16,
    context_width=12,
    context_length=5,
    heads=2,
    norm_groups=4,
)


def test_unet_through_the_pipeline() -> None:
    """The passes keep what it computes, and its images are channels-last but at the ends."""
    program = ait.trace(unet.UNet(TINY_UNET).init_random(), unet.specs(TINY_UNET))
    inputs = unet.example_inputs(TINY_UNET, 2)
    want = ait.evaluate(program, inputs)["output"]
    assert want.shape == (2, 4, 16, 16) and np.abs(want).max() > 0.1
    run_pipeline(program.module)
    program.verify()
    got = ait.evaluate(program, inputs)["output"]
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)
    kernels = [op for op in program.main.body.block.ops if isinstance(op, KernelOp)]
    images = [op for op in kernels if isinstance(op, ConvOp | ResizeOp)]
    first = [op.source for op in images if op.in_access[0].strides[-1] != 1]
    last = [op.source for op in images if op.out_access[0].strides[-1] != 1]
    assert (first, last) == (["conv_in"], ["conv_out"])
    assert len(kernels) <= 360
    assert sum(isinstance(op, CopyOp) for op in kernels) <= 1


# The real encoder -----------------------------------------------------------------------------


@pytest.fixture
def folder() -> Iterator[Any]:
    found = minilm.model_folder()
    if found is None:
        pytest.skip(f"the package {minilm.PACKAGE} is not installed")
    pytest.importorskip("tokenizers")
    yield found


@pytest.mark.slow
def test_real_weights_give_sensible_similarities(folder: Any) -> None:
    program = ait.trace(minilm.load_model(folder), minilm.specs())
    inputs = minilm.tokenize(minilm.SENTENCES, folder)
    vectors = ait.evaluate(program, inputs)["embeddings"]
    similar = vectors @ vectors.T
    for pair in range(0, len(minilm.SENTENCES), 2):
        others = [i for i in range(len(minilm.SENTENCES)) if i not in (pair, pair + 1)]
        assert similar[pair, pair + 1] > 0.4 > 0.2 > similar[pair, others].max()


def test_tokens_without_a_tokenizer() -> None:
    tokens = minilm.tokenize(minilm.SENTENCES, None)
    assert tokens["input_ids"].shape == tokens["attention_mask"].shape
    assert (tokens["input_ids"][tokens["attention_mask"] == 0] == 0).all()
