"""A training step of a GPT in PyTorch on the processor: python3 bench/peers/torch-gpt.py '{"layers":4,…,"threads":1}'

Prints one JSON line: { tokensPerSecond, loss, version, threads }.
"""

import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, width, heads, context):
        super().__init__()
        self.heads = heads
        self.ln_1 = nn.LayerNorm(width)
        self.c_attn = nn.Linear(width, 3 * width)
        self.attn_out = nn.Linear(width, width)
        self.ln_2 = nn.LayerNorm(width)
        self.c_fc = nn.Linear(width, 4 * width)
        self.mlp_out = nn.Linear(4 * width, width)
        future = torch.ones(context, context).triu(1).bool()
        self.register_buffer("future", future, persistent=False)

    def forward(self, x):
        batch, time, width = x.shape
        q, k, v = (
            part.view(batch, time, self.heads, width // self.heads).transpose(1, 2)
            for part in self.c_attn(self.ln_1(x)).split(width, dim=2)
        )
        if hasattr(F, "scaled_dot_product_attention"):  # PyTorch 2
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = (q @ k.transpose(-2, -1)) * (1 / (width // self.heads) ** 0.5)
            scores = scores.masked_fill(self.future[:time, :time], float("-inf"))
            y = F.softmax(scores, dim=-1) @ v
        x = x + self.attn_out(y.transpose(1, 2).reshape(batch, time, width))
        return x + self.mlp_out(F.gelu(self.c_fc(self.ln_2(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self, model):
        super().__init__()
        width, context = model["width"], model["context"]
        self.wte = nn.Embedding(model["vocabulary"], width)
        self.wpe = nn.Embedding(context, width)
        self.h = nn.ModuleList(Block(width, model["heads"], context) for _ in range(model["layers"]))
        self.ln_f = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def loss(self, inputs, targets):
        x = self.wte(inputs) + self.wpe.weight[: inputs.shape[1]]
        for block in self.h:
            x = block(x)
        logits = F.linear(self.ln_f(x), self.wte.weight)  # the head is the embedding
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def step(gpt, optimizer, inputs, targets):
    """Forward, backward, AdamW; the loss before the update."""
    optimizer.zero_grad(set_to_none=True)
    loss = gpt.loss(inputs, targets)
    loss.backward()
    optimizer.step()
    return loss.item()


def main(model):
    torch.set_num_threads(model["threads"])
    torch.manual_seed(1)
    batch, context, vocabulary = model["batch"], model["context"], model["vocabulary"]
    gpt = Gpt(model)
    optimizer = torch.optim.AdamW(gpt.parameters(), lr=1e-3)
    ids = (torch.arange(batch * (context + 1)) * 7919 % vocabulary).view(batch, context + 1)
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    least = float("inf")
    for n in range(model["steps"]):
        start = time.perf_counter()
        loss = step(gpt, optimizer, inputs, targets)
        if n >= 2:
            least = min(least, time.perf_counter() - start)
    return {
        "tokensPerSecond": batch * context / least,
        "loss": loss,
        "version": torch.__version__,
        "threads": torch.get_num_threads(),
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
