defmodule Sidewinder.Codec.Reading do
  @moduledoc """
  The half of `Sidewinder.Codec.Making` that makes what reads a message.

  A message on its way is the arguments of two functions, one argument for each member of its struct, which is made once,
  at the end:

      fields(data, depth, …)        takes a key off the front
      field(key, data, depth, …)    takes the value of that field, and goes on with the next one

  Data are matched where clauses begin, and in whole bytes, so that the BEAM goes through a message without a copy of what
  is left of it at each step. That is also why a short value has a clause of its own.
  """

  alias Sidewinder.Codec.Wire

  # What one byte of a number means, as it stands.
  @plain [:uint64, :uint32, :int64, :int32]

  @doc "The functions that read a message with these members."
  @spec functions([map], [atom]) :: [Macro.t()]
  def functions(fields, names) do
    [made(fields, names), keyed(names)] ++
      Enum.flat_map(fields, &one(&1, names)) ++
      [unknown(names)] ++ Enum.flat_map(fields, &beside/1)
  end

  # Lists were gathered backwards. A map that begins with what is known only here is made in one step by the BEAM, and one
  # that begins with a constant in two: so what struct it is comes last.
  defp made(fields, names) do
    turned = for %{label: :repeated, name: name} <- fields, do: name

    members =
      for name <- names do
        {name, if(name in turned, do: quote(do: :lists.reverse(unquote(member(name)))), else: member(name))}
      end

    quote do
      defp fields(<<>>, _depth, unquote_splicing(Enum.map(names, &member/1))),
        do: %{unquote_splicing(members ++ [__struct__: quote(do: __MODULE__)])}
    end
  end

  defp keyed(names) do
    members = Enum.map(names, &member/1)

    quote do
      defp fields(<<key, rest::binary>>, depth, unquote_splicing(members)) when key < 128,
        do: field(key, rest, depth, unquote_splicing(members))

      defp fields(data, depth, unquote_splicing(members)) do
        {key, rest} = Wire.varint(data)
        field(key, rest, depth, unquote_splicing(members))
      end
    end
  end

  # What nobody knows is kept.
  defp unknown(names) do
    clause(names, :__unknown__, quote(do: [unquote(member(:__unknown__)) | kept]), fn before, after_ ->
      quote do
        defp field(key, data, depth, unquote_splicing(before)) do
          rest = Wire.skip(key, data)
          value = binary_part(data, 0, byte_size(data) - byte_size(rest))
          kept = IO.iodata_to_binary([Wire.put_varint(key), value])
          fields(rest, depth, unquote_splicing(after_))
        end
      end
    end)
  end

  # A clause after which one member is another: its arguments before and after. What it was may not matter.
  defp clause(names, name, new, make, further \\ nil) do
    needed = uses?(new, member(name)) or uses?(further, member(name))
    before = for one <- names, do: if(one == name and not needed, do: quote(do: _), else: member(one))
    make.(before, for(one <- names, do: if(one == name, do: new, else: member(one))))
  end

  defp uses?(code, {name, _, context}) do
    {_, found} = Macro.prewalk(code, false, &{&1, &2 or match?({^name, _, ^context}, &1)})
    found
  end

  ## One field

  # The value of a field, as the value of its member.
  defp placed(%{label: :repeated, name: name}), do: {name, quote(do: [value | unquote(member(name))])}
  defp placed(%{label: {:oneof, oneof}, name: name}), do: {oneof, quote(do: {unquote(name), value})}
  defp placed(%{name: name}), do: {name, quote(do: value)}

  defp one(%{label: {:map, key, value}} = field, names) do
    new = quote(do: Map.put(unquote(member(field.name)), key, value))

    make = fn before, after_ ->
      quote do
        defp field(unquote(key(field, :bytes)), rest, depth, unquote_splicing(before)) do
          {data, rest} = Wire.bytes(rest)
          {key, value} = unquote(entry(field))(data, unquote(zero(key)), unquote(empty(value)), depth)
          fields(rest, depth, unquote_splicing(after_))
        end
      end
    end

    [clause(names, field.name, new, make)]
  end

  defp one(%{label: :repeated} = field, names),
    do: if(packs?(field.kind), do: [packed(field, names) | single(field, names)], else: single(field, names))

  defp one(field, names), do: single(field, names)

  defp packed(field, names) do
    values = known_words(field, quote(do: Wire.packed(unquote(scalar(field.kind)), packed, [])))

    clause(names, field.name, quote(do: unquote(values) ++ unquote(member(field.name))), fn before, after_ ->
      quote do
        defp field(unquote(key(field, :bytes)), rest, depth, unquote_splicing(before)) do
          {packed, rest} = Wire.bytes(rest)
          fields(rest, depth, unquote_splicing(after_))
        end
      end
    end)
  end

  defp single(field, names) do
    {name, new} = placed(field)
    earlier = earlier(field)
    got = get(field.kind, earlier)

    long = fn before, after_ ->
      quote do
        defp field(unquote(key(field, field.kind)), rest, depth, unquote_splicing(before)) do
          {value, rest} = unquote(got)
          fields(rest, depth, unquote_splicing(after_))
        end
      end
    end

    short =
      for {shape, fits, value} <- short(field.kind, earlier) do
        clause(names, name, new, &short(field, shape, fits, value, &1, &2), value)
      end

    short ++ [clause(names, name, new, long, got)]
  end

  defp short(field, shape, fits, value, before, after_) do
    quote do
      defp field(unquote(key(field, field.kind)), <<unquote_splicing(shape)>>, depth, unquote_splicing(before))
           when unquote(fits) do
        value = unquote(value)
        fields(rest, depth, unquote_splicing(after_))
      end
    end
  end

  # A value of one byte, or behind a length of one byte or two: as nearly all are.
  defp short({:message, module}, before), do: sized(message(module, before))
  defp short(:bytes, _before), do: sized(quote(do: inner))
  defp short(:string, _before), do: sized(quote(do: Wire.text(inner)))
  defp short(kind, _before) when kind in @plain, do: byte(quote(do: byte))
  defp short(:bool, _before), do: byte(quote(do: byte != 0))
  defp short({:enum, words}, _before), do: byte(quote(do: unquote(word_of(words)).(byte)))
  defp short(_kind, _before), do: []

  defp byte(value), do: [{quote(do: [byte, rest :: binary]), quote(do: byte < 128), value}]

  defp sized(value) do
    one = quote(do: [size, inner :: binary - size(size), rest :: binary])
    two = quote(do: [low, high, inner :: binary - size(high * 128 + low - 128), rest :: binary])
    [{one, quote(do: size < 128), value}, {two, quote(do: low >= 128 and high < 128), value}]
  end

  defp earlier(%{label: {:oneof, oneof}, kind: {:message, _}, name: name}) do
    quote do
      case unquote(member(oneof)) do
        {unquote(name), value} -> value
        _ -> nil
      end
    end
  end

  defp earlier(field), do: before(field)

  # What stands beside the clauses of a field: the reader of the entries of a map.
  defp beside(%{label: {:map, key, value}} = field) do
    key_key = key(%{number: 1}, key)
    value_key = key(%{number: 2}, value)
    entry = entry(field)

    [
      quote do
        defp unquote(entry)(<<>>, key, value, _depth), do: {key, value}

        defp unquote(entry)(data, key, value, depth) do
          case Wire.varint(data) do
            {unquote(key_key), rest} ->
              {key, rest} = unquote(get(key, nil))
              unquote(entry)(rest, key, value, depth)

            {unquote(value_key), rest} ->
              {value, rest} = unquote(get(value, quote(do: value)))
              unquote(entry)(rest, key, value, depth)

            {other, rest} ->
              unquote(entry)(Wire.skip(other, rest), key, value, depth)
          end
        end
      end
    ]
  end

  defp beside(_field), do: []

  defp entry(field), do: String.to_atom("#{field.name}_entry")
  defp empty({:message, module}), do: quote(do: unquote(module).__struct__())
  defp empty(kind), do: zero(kind)

  @doc "The key of a field of this kind, as a number."
  @spec key(map, term) :: pos_integer
  def key(field, kind) do
    {key, ""} = Wire.varint(Wire.key(field.number, scalar(kind)))
    key
  end

  defp scalar({:enum, _}), do: :int32
  defp scalar({:message, _}), do: :message
  defp scalar(kind), do: kind

  # What a message that comes twice is merged into.
  defp before(%{label: :optional} = field), do: member(field.name)
  defp before(_field), do: nil

  defp message(module, nil), do: quote(do: unquote(module).read(inner, depth + 1))

  defp message(module, before) do
    quote do
      case unquote(before) do
        nil -> unquote(module).read(inner, depth + 1)
        before -> unquote(module).merge(before, inner, depth + 1)
      end
    end
  end

  defp get({:message, module}, before) do
    quote do
      {inner, rest} = Wire.bytes(rest)
      {unquote(message(module, before)), rest}
    end
  end

  defp get({:enum, words}, _before) do
    quote do
      {number, rest} = Wire.get(:int32, rest)
      {unquote(word_of(words)).(number), rest}
    end
  end

  defp get(kind, _before), do: quote(do: Wire.get(unquote(kind), rest))

  defp known_words(%{kind: {:enum, words}}, values), do: quote(do: Enum.map(unquote(values), unquote(word_of(words))))
  defp known_words(_field, values), do: values

  defp word_of(words) do
    known = for {word, number} <- words, do: hd(quote(do: (unquote(number) -> unquote(word))))
    {:fn, [], known ++ quote(do: (number -> number))}
  end

  @doc "What a field of this kind is when it is absent."
  @spec zero(term) :: term
  def zero(kind) when kind in [:string, :bytes], do: ""
  def zero(:bool), do: false
  def zero(kind) when kind in [:double, :float], do: 0.0
  def zero({:enum, words}), do: words |> List.keyfind!(0, 1) |> elem(0)
  def zero({:message, _}), do: nil
  def zero(_number), do: 0

  @doc "Whether a list of this kind is written as one run of values."
  @spec packs?(term) :: boolean
  def packs?(kind) when kind in [:string, :bytes], do: false
  def packs?({:message, _}), do: false
  def packs?(_kind), do: true

  @doc "The argument that a member of the message is on the way."
  @spec member(atom) :: Macro.t()
  def member(:__unknown__), do: member(:unknown)
  def member(name), do: {name, [], __MODULE__.Member}
end
