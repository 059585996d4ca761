/**
 * What keys and tokens look like, each by its issuer's prefix: OpenAI and its like, Groq, xAI, Perplexity, NVIDIA,
 * Replicate, Hugging Face, GitHub, GitLab, npm, Slack, AWS, Google, JSON web tokens, what follows `Bearer`, and Simmer's own.
 */
export const keyShapes: readonly string[] = [
  String.raw`\bsk-[A-Za-z0-9_-]{20,}`,
  String.raw`\bgsk_[A-Za-z0-9]{40,}`,
  String.raw`\bxai-[A-Za-z0-9]{40,}`,
  String.raw`\bpplx-[A-Za-z0-9]{40,}`,
  String.raw`\bnvapi-[A-Za-z0-9_-]{40,}`,
  String.raw`\br8_[A-Za-z0-9]{36,}`,
  String.raw`\bhf_[A-Za-z0-9]{30,}`,
  String.raw`\bgh[pousr]_[A-Za-z0-9]{36,}`,
  String.raw`\bgithub_pat_[A-Za-z0-9_]{50,}`,
  String.raw`\bglpat-[A-Za-z0-9_-]{20,}`,
  String.raw`\bnpm_[A-Za-z0-9]{36,}`,
  String.raw`\bxox[abprs]-[A-Za-z0-9-]{10,}`,
  String.raw`\bAKIA[0-9A-Z]{16}\b`,
  String.raw`\bAIza[0-9A-Za-z_-]{35}`,
  // Begun at each of its "-", a text of many would be read from each to its end.
  String.raw`(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}`,
  String.raw`\bsimmer_[0-9a-f]{64}`,
  String.raw`(?<=\bBearer )[A-Za-z0-9._~+/-]{16,}=*`,
];
