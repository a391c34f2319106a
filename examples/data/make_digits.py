"""Write digits.csv, the handwritten digits that scikit-learn ships, next to this script."""

from pathlib import Path

from sklearn.datasets import load_digits


def main() -> None:
    digits = load_digits()
    table = digits.data.astype(int).tolist()
    with open(Path(__file__).with_name("digits.csv"), "w", encoding="ascii", newline="\n") as file:
        print(*digits.feature_names, "digit", sep=",", file=file)
        for pixels, digit in zip(table, digits.target, strict=True):
            print(*pixels, digit, sep=",", file=file)


if __name__ == "__main__":
    main()
