"""The page Energy: softmax against energy on a toy, and fine-tuning that shapes the energy."""
