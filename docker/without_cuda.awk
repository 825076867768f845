# A lock without torch, torchvision and what only their CUDA builds need. An entry begins in the first column.
/^[A-Za-z0-9]/ { keep = $0 !~ /^(torch|torchvision|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)(\[[^]]*\])?==/ }
keep
