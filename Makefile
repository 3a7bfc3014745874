# ./do is the developer interface; this is for fingers that type make.
.PHONY: demo test lint fmt bench static help
demo test lint fmt bench static help:
	@./do $@
.DEFAULT_GOAL := help
