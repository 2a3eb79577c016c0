"""Since which commit: a tree's history searched by `git bisect`, each step an ordinary run."""
