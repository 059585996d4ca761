"""What is right, what is wrong, and what is neither."""

from __future__ import annotations

import pytest
from conftest import RunningGrader

from simmer_grader.generated.simmer.grader.v1 import grader_pb2 as pb


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("42", "42"),
        ("42", "The answer is $42$."),
        ("42", r"So we get \boxed{42}."),
        (r"\boxed{42}", "42.0"),
        (r"\frac{3}{4}", "3/4"),
        (r"\frac{3}{4}", "0.75"),
        ("3/4", r"\dfrac{6}{8}"),
        (r"\{1, 2, 3\}", r"$\{3, 2, 1\}$"),
        ("1, 2, 3", r"\boxed{1,2,3}"),
        (r"[0, \infty)", r"$[0, \infty)$"),
        (r"2\sqrt{3}", r"\sqrt{12}"),
        ("(x+1)^2", "x^2 + 2x + 1"),
        ("5", "x = 5"),
        ("1 < x < 2", "(1, 2)"),
        ("1{,}000", "1,000"),
        ("100000", "1e5"),
        (r"\frac{\pi}{2}", "pi/2"),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
        (r"\begin{pmatrix} -1/3 \\ 2 \end{pmatrix}", r"\boxed{\begin{pmatrix} -\frac{1}{3} \\ 2 \end{pmatrix}}"),
        (r"\text{Evelyn}", r"\boxed{Evelyn}"),
        ("no solution", r"\boxed{\text{No solution}}"),
        ("42", "42 marbles"),
        ("18 dollars", "$18"),
        ("60", "about 60 km/h"),
        ("5ab", "5 ab"),
        (r"\frac{7}{2}", "3 1/2"),
        (r"\frac{7}{2}", "3 1/2 cups"),
        (r"-\frac{7}{2}", r"-3\frac{1}{2} square cups"),
        (r"\frac{3}{4}", r"\frac{3}{4} cup"),
        (r"\frac{1}{2}bh", r"\frac{1}{2} bh"),
        (r"\frac{1}{6} abc", r"\frac{abc}{6}"),
        ("1234567", r"1\,234\,567"),
        # Sentences behind the answer have numbers, too.
        ("42", "42\n\nShe has 6 boxes of 7."),
        ("42", "42 marbles.\n\nShe has 6 boxes of 7."),
        (r"\frac{3}{4}", "$x = \\frac{3}{4}$\nWe divide 6 by 8 here."),
        (r"\text{Evelyn}", "Evelyn\n\nEvelyn is faster than 7."),
        # A solution may begin with a formula, and the answer is where it ends.
        ("2", "$2x + 3 = 7$\n\nSolving this gives \\boxed{2}."),
        ("2", "$2x + 3 = 7$\nWe take 3 from both sides and find\n$x = 2$"),
        ("27", "24 + 24 = 48\nShe sells some of these, and the answer is 27."),
        ("12", "x = 5\nThen y = 7, and x + y = 12"),
        ("7", "5\nNo, it is one of each more. The final answer is $7$."),
        (r"\text{Evelyn}", "We compare the speeds.\nThe fastest of 5 is \\boxed{Evelyn}."),
        (r"2\sqrt{2}", "2 sqrt2"),
        ("42", "1. She has 6 boxes.\n2. With 7 in each, that is 42"),
        ("42", "\\[\n42\n\\]\nThat is all of them."),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", "\\begin{pmatrix}\n1 \\\\ 2\n\\end{pmatrix}"),
        # Signs of Unicode.
        (r"3\sqrt{13}", "3√13"),
        (r"\frac{\sqrt{3}}{3}", "√3/3"),
        (r"\frac{5}{2}", "2½"),
        (r"6.02 \times 10^{-3}", "6.02\u00d710⁻³"),
        (r"(-\infty, 2) \cup (3, \infty)", "(\u2212∞, 2)\u222a(3, ∞)"),
        ("-5", "\u20135"),
        ("9.8", "9.8 m·s⁻²"),
        ("5", "the area is 5 m²"),
        # A sentence that has the answer without dollar signs.
        (r"3\sqrt{13}", r"The answer is 3\sqrt{13}."),
        (r"(-\infty, 3]", r"It is the interval (-\infty, 3] then."),
        (r"1+2i", "The final answer is 1 + 2i."),
        ("(-2,1)", "The final answer is (-2,1)."),
        ("5", "a² + b² = 25, so c = 5"),
        ("3", "x + 1 = 4, hence x = 3"),
        (r"\$32,\!348", r"The total price is \$32,\!348."),
        (r"\frac{1}{2}x^2", r"Thus y = \frac{1}{2}x^2 holds."),
        ("9", "First 2^3 = 8. So the answer is 9."),
        # What it says the answer is, and no explanation behind it.
        ("42", "The answer is 42.\n\nHere n^2 = 36."),
        ("42", "Answer: 42.\n\nHere n^2 = 36."),
        (r"3\sqrt{13}", r"The answer is 3\sqrt{13}, about 10.8."),
        ("1+2i", "**The answer is:** 1 + 2i, as i^2 = -1."),
        (r"\frac{1}{2}", "The answer is 1/2 (or 0.5)."),
        ("9", "The answer is 9 (3^2)."),
        ("8", "He has 8 (10 - 2) left."),
        ("14", "So it is 2 (3 + 4) = 14."),
        ("2(x+1)", "It factors as 2 (x + 1)."),
        # Units of one letter.
        ("25", "25m\u00b2"),
        ("25", "The area is 25 m^2."),
        ("9.8", "The acceleration is 9.8 m/s^2."),
        ("5", "The current is 5A."),
        ("2A+1", "So it is 2A + 1 then."),
        ("3m^2+1", "So it is 3 m^2 + 1 then."),
        # Numbers that are given, cited, denied or counted are no answer.
        ("5", "5 is the distance from (0,0) to (3,4)."),
        ("5", "There are 5 apples [1]."),
        ("7", "The answer is 7, where x^2 = 49."),
        ("7", "The value is 7 because 7^2 = 49."),
        ("42", "The minimum is 42, attained at x = 3."),
        ("204", "The walk takes 204 minutes, including 24 minutes in the shop."),
        ("3", "It takes 3 bolts (2 blue and 1 white)."),
        ("64", "Kylar needs to pay $64 for the 16 glasses."),
        ("12", "Clyde will pay $6.50 + $5.50 = $12 for 5 apples."),
        ("42", "There are 42 such numbers below 1000."),
        ("3", "There are $3$ values of $x$."),
        ("42", "The answer isn't 41; it's 42."),
        ("42", "42 is the 3rd smallest."),
        ("8", "Since the wire was cut into pieces of 6 inches, she got 48/6=8 pieces"),
        ("120", "After he sells 180 shoes, he remains with 300-180 = 120"),
        ("12", "He needs 5 boxes if 3 break, so the answer is 12."),
        ("3, 5, 7", "The primes are 3, 5, and 7."),
        ("1, -2", "The roots are x = 1 and x = -2."),
        ("p - q", "The sum is p - q."),
        # Punctuation of the sentence.
        (r"\frac{14}{3}", "14/3."),
        (r"1 \pm \sqrt{19}", r"1 \pm \sqrt{19}."),
        (r"\frac{16}{5}", r"The maximum value is $\frac{16}{5}.$"),
        ("(15,-29)", "Thus,\n\\[(x,y) = (15,-29).\\]"),
        # How a number is written.
        ("5000000", "5 million"),
        ("5 million", "5,000,000"),
        ("2500000000", "about 2.5 billion people"),
        ("5000000", r"5\text{ million}"),
        ("12", "It made a profit of $12 million."),
        ("70000", "70 000"),
        ("70000", "200,000 \u2212 130,000 = 70,000"),
        (r"\frac{20000}{\pi}", r"\frac{20,000}{\pi}"),
        (".0000672", "6.72 x 10^-5"),
        ("18", "**18**"),
        ("18", "\u20ac18"),
        ("5", "\u7b54\u6848\u662f5\u3002"),
        ("5", r"\text{5 apples}"),
        ("5", r"\boxed{5\u00b0}"),
        (r"\cot x", "cot x"),
        (r"288\pi", "The volume is 288\u03c0 cm\u00b3."),
        ("x^3-6", "x**3 - 6"),
        ("(3,4]", "x \u2208 (3, 4]"),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 1 \\[4pt] 2 \end{pmatrix}"),
        ("52_8", "52 (base 8)"),
        ("52_8", "52 in base eight"),
        ("1011_2", r"1011\text{ base }2"),
        # Words and letters in a sentence.
        (r"\text{Evelyn}", "The student with the greatest speed is Evelyn."),
        (r"\text{Evelyn}", "Evelyn has the greatest average speed."),
        (r"\text{Evelyn}", "The answer is **Evelyn**, since she needs 2 hours."),
        (r"\text{even}", "The function is even."),
        (r"\text{ellipse}", "an ellipse"),
        ("no solution", "There are no solutions."),
        (r"\text{(C)}", "The answer is C."),
        (r"\text{(E)}", r"The answer is $\text{(E)}.$"),
        (r"\text{(C)}", "Option (C)"),
        ("3:2", "The ratio is 3:2."),
        ("2", "It takes 3 hours, so 5-3 = 2:00 pm is the latest."),
        # Inequalities of a gold answer that is no point.
        (r"(2,\infty)", "x > 2"),
        ("(3,4]", r"3 < x \le 4"),
        (r"x \in [-2,7]", "\u22122 \u2264 x \u2264 7"),
        (r"(-\infty, 2) \cup (3, \infty)", "$x < 2$ or $x > 3$"),
        # What was paid for.
        ("64", "64 dollars for 16 glasses"),
        ("64", "Kylar needs to pay $64 for 16 glasses."),
        ("34", "He needs 3 boxes for 34 apples."),
        ("16", "After 3 days, he works for 16 hours."),
        ("16", "It takes 5 workers for 16 days."),
        ("40", "He sold 5 boxes for 40 dollars."),
        ("20", "She exchanges 5 dollars for 20 quarters."),
        # Ratios and times.
        ("3:2", "3 to 2"),
        ("3:2", "The ratio of boys to girls is 3 to 2."),
        (r"\frac{3}{2}", "The ratio is 3 to 2."),
        ("5", "The number rises from 3 to 5."),
        ("3:30", "3:30 PM"),
        ("3:30", r"\text{3:30 p.m.}"),
        # What a number of the gold answer leaves no doubt about.
        ("70000", "70k"),
        ("70000", "The profit was $70K."),
        ("3k", "3k"),
        ("1.5", "1,5"),
        (r"\frac{1}{8}", "0,125"),
        ("1,5", "1,5"),
        ("1500", "1,500"),
        # Vectors.
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", "(1, 2)"),
        (r"\begin{pmatrix} 1 \\ -7 \\ 0 \end{pmatrix}", r"\langle 1, -7, 0 \rangle"),
        (r"\begin{pmatrix} 1 \\ -7 \\ 0 \end{pmatrix}", "$(1, -7, 0)^T$"),
        # Percent.
        ("25", "25%"),
        (r"\frac{1}{4}", r"25\%"),
        # Boxes.
        ("5", r"\boxed{3}. No, that is wrong: \boxed{5}"),
        ("3, 5, 7", r"They are \boxed{3}, \boxed{5}, and \boxed{7}."),
        ("5", r"\boxed{5}\text{ apples}"),
        ("5", r"\boxed{5}, \boxed{5}"),
        ("0.5", r"\boxed{1/2} or \boxed{0.5}"),
        ("0.5", "1/2, 0.5"),
        # Complex numbers.
        ("3+4i", "3 + 4 i"),
        ("6 - 5i", r"6-5\,i"),
        ("3+4i", r"3+4 \cdot i"),
        ("2i", r"2\mathrm{i}"),
        ("2i", r"\sqrt{-4}"),
        (r"2e^{i\pi/3}", r"1+i\sqrt{3}"),
        (r"\begin{pmatrix} 1 & 2i \\ 0 & 1 \end{pmatrix}", r"\begin{pmatrix} 1 & 2 i \\ 0 & 1 \end{pmatrix}"),
        ("i > 3", "3 < i"),
        (r"1 \le i \le n", r"1 \leq i \leq n"),
        ("(2, 3i)", "$(2, 3i)$"),
        ("(1+i, 1-i)", "$(1+i, 1-i)$"),
        (r"\max(i, j)", r"$\max(i, j)$"),
        ("y - 2x = i", "y = 2x + i"),
        # Decimals that repeat.
        (r"0.\overline{3}", "1/3"),
        (r"\frac{14}{11}", r"1.\overline{27}"),
        (r"\frac{1}{6}", r"0.1\bar{6}"),
        (r"-\frac{4}{3}", r"-1.\overline3"),
        (r"1,234.\overline{5}", r"1234.\overline{5}"),
        (r"\frac{1}{3}", r"33.\overline{3}\%"),
        (r"33.\overline{3}\%", r"\frac{100}{3}\%"),
        (r"33.\overline{3}\%", r"\dfrac{100}{3}\%"),
        (r"\frac{1}{3}", r"33\tfrac{1}{3}\%"),
        (r"33\frac{1}{3}\%", "33 1/3 %"),
        ("-1/3", "-33⅓%"),
        # How a number is written.
        (r"3\sqrt{13}", r"3\sqrt13"),
        (r"1 \pm \sqrt{19}", r"1 \pm \sqrt19"),
        ("8", "2(4)"),
        ("24", "(2)(4)(3)"),
        ("24", "2(4)(3)"),
        ("1000, 2000", "1,000 and 2,000"),
        ("1,000, 2,000", "2000, 1000"),
        (r"\emptyset", r"\varnothing"),
        # White space before the end of the mathematics.
        (r"5.4 \text{ cents}", r"\[ 5.4 \text{ cents} \]"),
        (r"15\mbox{ cm}^2", r"The area is $ 15\text{ cm}^2 $."),
        # A label.
        ("18", "Total: 18"),
        ("18", "Total cost: 18"),
        ("18", "Profit = 18"),
        ("-18", "Profit: -$18"),
        ("18", r"\text{Area: }18"),
        (r"\text{Area: }18", r"\text{Area: }18"),
        ("Total: 18", "Total: 18"),
        ("Total: 18", "18"),
        ("3:2", "Ratio: 3:2"),
        # What a letter stands for.
        (r"\text{(A)}", "(A) 5"),
        (r"\text{(A)}", r"\textbf{(A) }5"),
        (r"\text{(A)}", r"\textbf{(A)}\ 5"),
    ],
)
def test_right(grader: RunningGrader, gold: str, answer: str) -> None:
    assert grader.verdict(gold, answer) == "RIGHT"


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("42", "43"),
        (r"\frac{3}{4}", r"\frac{4}{3}"),
        (r"\{1, 2, 3\}", r"$\{1, 2\}$"),
        (r"2\sqrt{3}", r"2\sqrt{2}"),
        ("[0, 1]", "[0, 1)"),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 7 \\ 2 \end{pmatrix}"),
        # As a product of letters they would be equal.
        (r"\text{listen}", r"\text{silent}"),
        (r"\text{Evelyn}", "$7$"),
        ("43", "42 marbles"),
        ("2", "3 1/2"),
        ("3", "3 1/2 cups"),
        (r"\frac{3}{4}", r"\frac{3}{4} pi"),
        (r"\frac{1}{2} bh", r"\frac{1}{2} xy"),
        ("3", "3 pi"),
        ("2", "2 sqrt2"),
        ("3", "3 log2"),
        ("2", "2 thirds"),
        ("7", "42\n\nShe has 6 boxes of 7."),
        ("3", "3√13"),
        ("10", "10⁻³"),
        ("2", "2½"),
        ("3", r"The answer is 3\sqrt{13}."),
        ("10", "It is 10^{-3} then."),
        ("1", "The final answer is 1 + 2i."),
        ("4", "There are 5 apples [4]."),
        ("49", "The value is 7, where x^2 = 49."),
        ("16", "Kylar needs to pay $64 for the 16 glasses."),
        ("42", "The minimum is 41, attained at x = 42."),
        ("5", "It is 3 or 5."),
        ("5", "either 3 or 5"),
        ("5", "It cannot be 5."),
        ("7", r"They are \boxed{3}, \boxed{5}, and \boxed{7}."),
        ("5 million", "5"),
        ("5 million", "5 billion"),
        ("52_8", "52_9"),
        ("52_8", "52 in base 10"),
        (r"\text{(C)}", "The answer is B, not (C)."),
        (r"(2,\infty)", r"x \ge 2"),
        ("(3,4]", "3 < x < 4"),
        (r"(2,\infty)", "x + 1 > 3"),
        ("16", "64 dollars for 16 glasses"),
        ("2", "The ratio is 3 to 2."),
        ("3", "70k"),
        ("1500", "1,5"),
        ("5", "1,5"),
        ("1.5", "1,500"),
        ("1.5", "1, 5"),
        ("3:30", "3:45 PM"),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", "(2, 1)"),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", "[1, 2)"),
        (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", "(1, 2, 3, 4)"),
        ("0.25", "25"),
        ("3+4i", "3 - 4 i"),
        ("2i", "-2i"),
        ("i > 3", "i > 4"),
        ("(2, 3i)", "(2, 4i)"),
        (r"0.\overline{3}", "0"),
        (r"0.\overline{3}", r"0.\overline{4}"),
        (r"33.\overline{3}\%", r"33.\overline{4}\%"),
        (r"33\%", r"33\frac{1}{3}\%"),
        ("3", r"3.\overline{3}"),
        ("3", r"\sqrt13"),
        ("6", "(2)(4)"),
        ("1000, 2000", "1,000 and 3,000"),
        (r"\emptyset", "0"),
        ("18", "Total: 17"),
        ("Total: 18", "Total: 17"),
        (r"\text{(A)}", "(B) 5"),
        # The other way round it is right: the gold comes first.
        ("(1, 2)", "1 < x < 2"),
    ],
)
def test_wrong(grader: RunningGrader, gold: str, answer: str) -> None:
    assert grader.verdict(gold, answer) == "WRONG"


@pytest.mark.parametrize("answer", ["", "  \n", "I do not know.", "hello", "???", r"\frac{3}{", r"\boxed{}"])
def test_answer_that_cannot_be_read(grader: RunningGrader, answer: str) -> None:
    (grade,) = grader.grade(("42", answer))
    assert grade.verdict == pb.VERDICT_UNPARSED
    assert grade.parsed_answer == ""
    assert "gold" not in grade.explanation


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (r"\text{Evelyn}", "Evelyn is slower, so the answer is Briana."),
        (r"\text{Evelyn}", "Briana, not Evelyn."),
        (r"\text{Briana}", "Evelyn is faster than Briana."),
        (r"\text{even}", "The function is not even."),
        (r"\text{even}", "It is neither even nor odd."),
        (r"\text{even}", "It is even. No, the answer is odd."),
    ],
)
def test_words_of_a_sentence_that_says_others(grader: RunningGrader, gold: str, answer: str) -> None:
    assert grader.verdict(gold, answer) != "RIGHT"


@pytest.mark.parametrize("gold", ["", r"\frac{3}{", "???"])
def test_gold_that_cannot_be_read_is_named(grader: RunningGrader, gold: str) -> None:
    (grade,) = grader.grade((gold, "42"))
    assert grade.verdict == pb.VERDICT_UNPARSED
    assert "gold" in grade.explanation


def test_says_how_it_read(grader: RunningGrader) -> None:
    (grade,) = grader.grade((r"\frac{3}{4}", "0.5"))
    assert (grade.parsed_gold, grade.parsed_answer) == ("3/4", "1/2")
    assert grade.explanation
    results = grader.grade(("24", "4 * 6 = 24"), ("24", "x = 24"), ("24", "24"), ("24", "x + y = 24"))
    assert [grade.parsed_answer for grade in results] == ["24", "24", "24", "Eq(x + y, 24)"]


@pytest.mark.parametrize(
    ("answers", "reading"),
    [
        ([r"\frac{7}{2}", "3.5", "3 1/2", "7/2 hours"], "7/2"),
        (["-1/2", "-0.5", r"-\frac{2}{4}", r"-50\%"], "-1/2"),
        (["8", "8.0", "2^3", r"2 \cdot 4"], "8"),
        ([r"\sqrt{8}", r"2\sqrt{2}", "2√2"], "2*sqrt(2)"),
        (["1000", "1,000", "10^3", "1e3"], "1000"),
    ],
)
def test_reads_a_number_alike_however_it_is_written(grader: RunningGrader, answers: list[str], reading: str) -> None:
    grades = grader.grade(*(("41", answer) for answer in answers))
    assert [grade.parsed_answer for grade in grades] == [reading] * len(answers)


def test_answers_in_order(grader: RunningGrader) -> None:
    grades = grader.grade(*((str(number), str(number - number % 2)) for number in range(200)))
    assert [grade.id for grade in grades] == [str(number) for number in range(200)]
    assert [grade.verdict == pb.VERDICT_RIGHT for grade in grades] == [number % 2 == 0 for number in range(200)]
