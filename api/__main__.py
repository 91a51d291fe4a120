"""`python -m api` is `h2twin`."""

from api.cli import main

if __name__ == "__main__":
    main()
