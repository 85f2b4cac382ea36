"""The `cuda` dialect: configs of the CUDA kernel families.

```mlir
#cuda.gemm<tile = [128, 128, 64], cluster = [2, 1], schedule = pingpong, swapped>
#cuda.gemm<tile = [128, 256, 64], cluster = [2, 1], schedule = cooperative, stream_k>
#cuda.wgmma<tile = [64, 32, 64], schedule = cooperative, stages = 8, split = 4, swapped>
#cuda.wgmma_rows<tile = [128, 192, 64], cluster = 4, schedule = cooperative, stages = 4>
#cuda.back_to_back<tile = [128, 128, 64], stages = 4>
#cuda.back_to_back_parts<tile = [128, 64, 64], left = 2, stages = 8, ring = 4>
#cuda.mma<tile = [128, 64, 16], warps = [2, 2], stages = 4, products = tf32x3>
#cuda.gemm_sm80<tile = [128, 128, 32], warps = [2, 2], stages = 4>
#cuda.conv<tile = [128, 64, 32], warps = [2, 2], stages = 4>
#cuda.hopper_conv<tile = [128, 64, 64], warpgroups = 2, schedule = pingpong, stages = 4, split = 1>
#cuda.halo_conv<rows = 4, stages = 2>
#cuda.stem_conv<rows = 8, warpgroups = 3, stages = 3>
#cuda.interleaved_rows<rows = 4, vector = 8, places = 64, cluster = 8, items = 8>
#cuda.clustered_rows<vector = 8, team = 256, items = 16, cluster = 4>
#cuda.attention<tile = [128, 64], warps = 4>
#cuda.attention_hopper<tile = [128, 128], stages = 2, blocks = 1, producer, overlapped, turns>
```
"""

from xdsl.ir import Dialect

from ait.codegen.cuda.configs.attention import (
    AttentionAttr,
    AttentionConfig,
    HopperAttentionAttr,
    HopperAttentionConfig,
)
from ait.codegen.cuda.configs.conv import (
    HaloConvAttr,
    HaloConvConfig,
    HopperConvAttr,
    HopperConvConfig,
    StemConvAttr,
    StemConvConfig,
    slab_bytes,
)
from ait.codegen.cuda.configs.gemm import (
    GemmAttr,
    GemmConfig,
    Schedule,
    WgmmaAttr,
    WgmmaConfig,
)
from ait.codegen.cuda.configs.mma import (
    ConvAttr,
    CutlassMmaAttr,
    MmaAttr,
    MmaConfig,
    Products,
)
from ait.codegen.cuda.configs.rows import (
    ClusteredRowsAttr,
    ClusteredRowsConfig,
    InterleavedRowsAttr,
    InterleavedRowsConfig,
)
from ait.codegen.cuda.configs.whole_rows import (
    BackToBackAttr,
    BackToBackConfig,
    BackToBackPartsAttr,
    BackToBackPartsConfig,
    WgmmaRowsAttr,
    WgmmaRowsConfig,
)

Cuda = Dialect(
    "cuda",
    [],
    [
        AttentionAttr,
        BackToBackAttr,
        BackToBackPartsAttr,
        ClusteredRowsAttr,
        ConvAttr,
        CutlassMmaAttr,
        GemmAttr,
        HaloConvAttr,
        HopperAttentionAttr,
        HopperConvAttr,
        InterleavedRowsAttr,
        MmaAttr,
        StemConvAttr,
        WgmmaAttr,
        WgmmaRowsAttr,
    ],
)

__all__ = [
    "AttentionAttr",
    "AttentionConfig",
    "BackToBackAttr",
    "BackToBackConfig",
    "BackToBackPartsAttr",
    "BackToBackPartsConfig",
    "ClusteredRowsAttr",
    "ClusteredRowsConfig",
    "ConvAttr",
    "Cuda",
    "CutlassMmaAttr",
    "GemmAttr",
    "GemmConfig",
    "HaloConvAttr",
    "HaloConvConfig",
    "HopperAttentionAttr",
    "HopperAttentionConfig",
    "HopperConvAttr",
    "HopperConvConfig",
    "InterleavedRowsAttr",
    "InterleavedRowsConfig",
    "MmaAttr",
    "MmaConfig",
    "Products",
    "Schedule",
    "StemConvAttr",
    "StemConvConfig",
    "WgmmaAttr",
    "WgmmaConfig",
    "WgmmaRowsAttr",
    "WgmmaRowsConfig",
    "slab_bytes",
]
